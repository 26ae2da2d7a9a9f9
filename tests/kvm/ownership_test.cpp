#include "fixture.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

/// Who may send a guest.
class Ownership : public KvmTest {
 protected:
  static void expect_not_sent(VirtualMachine& vm) {
    const auto moved = move(vm, *make(vm.configuration()));
    ASSERT_FALSE(moved.sent);
    EXPECT_EQ(moved.sent.error().code, ErrorCode::usage) << moved.sent.error().message;
    EXPECT_FALSE(vm.is_running());
  }
  static void expect_sent(VirtualMachine& vm) {
    const auto moved = move(vm, *make(vm.configuration()));
    EXPECT_TRUE(moved.sent) << moved.sent.error().message;
  }
  /// A move into `destination` that ends when the guest is stopped.
  static void fail_to_move(VirtualMachine& source, VirtualMachine& destination) {
    auto cancellation = Cancellation::create();
    source.watch([&](const Progress& progress) {
      if (progress.stopped) cancellation->cancel();
    });
    const auto moved = move(source, destination, {}, *cancellation);
    source.watch({});
    ASSERT_FALSE(moved.sent);
    ASSERT_FALSE(moved.received);
  }
};

TEST_F(Ownership, WhatWasGivenAwayIsNotSentUntilItIsClaimed) {
  const auto source = start_checker(usual());
  expect_sent(*source);
  expect_not_sent(*source);
  ASSERT_TRUE(source->machine().claim());
  source->run();
  expect_good_memory(*source);
  expect_sent(*source);
}

TEST_F(Ownership, WhatWasReceivedIsNotSentUntilItIsClaimed) {
  const auto source = start_checker(usual());
  const auto destination = make(usual());
  ASSERT_TRUE(move(*source, *destination).sent);
  expect_not_sent(*destination);
  ASSERT_TRUE(destination->machine().claim());
  destination->run();
  expect_sent(*destination);
}

TEST_F(Ownership, WhatWasHalfReceivedIsNobodys) {
  const auto source = start_checker(usual());
  const auto destination = make(usual());
  fail_to_move(*source, *destination);
  expect_not_sent(*destination);
  const auto claimed = destination->machine().claim();
  ASSERT_FALSE(claimed);
  EXPECT_EQ(claimed.error().code, ErrorCode::usage);
  // The next move into it makes it whole.
  ASSERT_TRUE(move(*source, *destination).sent);
  ASSERT_TRUE(destination->machine().claim());
  destination->run();
  expect_good_memory(*destination);
}

TEST_F(Ownership, AMoveThatFailsLeavesItOurOwn) {
  const auto source = start_checker(usual());
  fail_to_move(*source, *make(usual()));
  EXPECT_TRUE(source->is_running());
  expect_sent(*source);
}

TEST_F(Ownership, AStoppedGuestIsStillStoppedWhenItsMoveHasFailed) {
  const auto source = start_checker(usual());
  source->stop();
  fail_to_move(*source, *make(usual()));
  EXPECT_FALSE(source->is_running());
  source->run();
  expect_good_memory(*source);
}

}  // namespace
}  // namespace vmigrate::kvm
