#include <sys/socket.h>

#include "fixture.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

/// Rounds without end: no pause is allowed in which anything would fit.
SendOptions never_ending() {
  SendOptions options;
  options.max_pause = Milliseconds(0);
  options.bandwidth = Rate{50'000'000};
  return options;
}

class Interruption : public KvmTest {
 protected:
  Interruption() : cancellation_(std::move(*Cancellation::create())) {}

  void expect_as_if_nothing_had_been(VirtualMachine& vm) {
    EXPECT_TRUE(vm.is_running());
    EXPECT_EQ(vm.failure(), "");
    for (std::uint32_t slot = 0; slot < vm.configuration().memory.size(); ++slot)
      EXPECT_FALSE(is_logged(vm, slot));
    expect_good_memory(vm);
  }
  void expect_a_move_succeeds(VirtualMachine& source) {
    const auto destination = make(source.configuration());
    const auto moved = move(source, *destination);
    ASSERT_TRUE(moved.sent) << moved.sent.error().message;
    EXPECT_TRUE(have_same_memory(source, *destination));
    destination->run();
    expect_good_memory(*destination);
  }

  Cancellation cancellation_;
};

TEST_F(Interruption, CancelledInEveryRoundTheGuestRunsOn) {
  const auto source = start_checker(usual(2));
  for (std::uint32_t round = 1; round <= 5; ++round) {
    auto cancellation = Cancellation::create();
    source->watch([&](const Progress& progress) {
      EXPECT_TRUE(is_logged(*source, 1));
      if (progress.round == round) cancellation->cancel();
    });
    const auto destination = make(source->configuration());
    const auto moved = move(*source, *destination, never_ending(), *cancellation);
    ASSERT_FALSE(moved.sent);
    EXPECT_EQ(moved.sent.error().code, ErrorCode::cancelled);
    EXPECT_FALSE(moved.received);
    EXPECT_FALSE(destination->is_running());
    source->watch({});
    expect_as_if_nothing_had_been(*source);
  }
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, CancelledWithTheGuestStoppedItGoesOn) {
  const auto source = start_checker(usual());
  source->watch([&](const Progress& progress) {
    if (!progress.stopped) return;
    EXPECT_FALSE(source->is_running());
    cancellation_.cancel();
  });
  const auto moved = move(*source, *make(source->configuration()), {}, cancellation_);
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::cancelled);
  source->watch({});
  expect_as_if_nothing_had_been(*source);
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, CancelledBeforeItBegins) {
  const auto source = start_checker(usual());
  cancellation_.cancel();
  const auto moved = move(*source, *make(source->configuration()), {}, cancellation_);
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::cancelled);
  expect_as_if_nothing_had_been(*source);
}

TEST_F(Interruption, TheOtherEndGoesAwayInTheMiddle) {
  const auto source = start_checker(usual());
  const auto destination = make(source->configuration());
  int socket = -1;
  source->watch([&](const Progress& progress) {
    if (progress.round == 2) ::shutdown(socket, SHUT_RDWR);
  });
  const auto moved = move_with(
      [&](int wire) {
        socket = wire;
        return source->machine().send(wire, never_ending(), cancellation_);
      },
      *destination);
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::unreachable);
  ASSERT_FALSE(moved.received);
  EXPECT_EQ(moved.received.error().code, ErrorCode::unreachable);
  source->watch({});
  expect_as_if_nothing_had_been(*source);
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, TheDestinationGoesAwayWithoutSayingThatItHasLoaded) {
  const auto source = start_checker(usual());
  Wire wire;
  std::jthread destination([&] {
    // Accepts, takes everything, and is gone when the guest has stopped.
    const std::array accepted{std::byte{0x76}, std::byte{0x01}, std::byte{0}, std::byte{0}};
    (void)::send(wire.destination.get(), accepted.data(), accepted.size(), MSG_NOSIGNAL);
    ByteBuffer buffer(1 << 20);
    constexpr std::string_view end = "{}";
    for (;;) {
      const auto count = ::recv(wire.destination.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      if (as_text(ByteView(buffer).first(static_cast<std::size_t>(count))).ends_with(end)) break;
    }
    ::shutdown(wire.destination.get(), SHUT_RDWR);
  });
  const auto sent = source->machine().send(wire.source.get(), {}, cancellation_);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::unreachable);
  expect_as_if_nothing_had_been(*source);
}

TEST_F(Interruption, ADestinationThatIsCancelledLetsTheSourceRunOn) {
  const auto source = start_checker(usual());
  const auto destination = make(source->configuration());
  Wire wire;
  source->watch([&](const Progress& progress) {
    if (progress.round == 2) cancellation_.cancel();
  });
  std::jthread receiver([&] {
    const auto received = destination->machine().receive(wire.destination.get(), cancellation_);
    EXPECT_FALSE(received);
    ::shutdown(wire.destination.get(), SHUT_RDWR);
  });
  const auto own = Cancellation::create();
  const auto sent = source->machine().send(wire.source.get(), never_ending(), *own);
  ASSERT_FALSE(sent);
  source->watch({});
  expect_as_if_nothing_had_been(*source);
}

}  // namespace
}  // namespace vmigrate::kvm
