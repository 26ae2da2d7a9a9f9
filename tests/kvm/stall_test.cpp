#include <algorithm>
#include <vector>

#include "fixture.hpp"
#include "kvm/sender.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

/// Moves that come to nothing, by a clock of which every round takes five seconds.
class Stall : public KvmTest {
 protected:
  /// Where the checker's pages are, in slot 1.
  static constexpr std::uint64_t kFilled = 0x300000;
  static constexpr std::uint64_t kFilledSize = 2048 * kPageSize;

  /// No pause is allowed in which anything would fit.
  static SendOptions options(OnStall on_stall, Percent max_slowdown = {}) {
    SendOptions options;
    options.max_pause = Milliseconds(0);
    options.bandwidth = Rate{50'000'000};
    options.on_stall = on_stall;
    options.max_slowdown = max_slowdown;
    return options;
  }

  /// Sends a guest that writes all of its pages again in each round, and notes what is told of it.
  Hop move_in_vain(const SendOptions& options) {
    source_ = make_parts();
    source_vm_->watch([this](const Progress& progress) {
      told_.push_back(progress);
      // What the guest would do if it came to run as much as it likes.
      source_->slots.find(1)->marks.mark(kFilled, kFilledSize);
      // It would never end.
      if (progress.round == 100) cancellation_->cancel();
    });
    auto moved = move_with(
        [&](int socket) { return Sender(*source_, socket, options, *cancellation_).run(); }, *destination_);
    source_vm_->watch({});
    return moved;
  }

  void SetUp() override {
    KvmTest::SetUp();
    if (IsSkipped()) return;
    source_vm_ = start_checker(usual());
    destination_ = make(usual());
  }

  std::unique_ptr<VirtualMachine> source_vm_;
  std::unique_ptr<VirtualMachine> destination_;
  std::vector<Progress> told_;

 private:
  std::unique_ptr<MachineParts> make_parts() const {
    source_vm_->stop();
    auto parts = MachineParts::create(source_vm_->description(), *source_vm_);
    source_vm_->run();
    EXPECT_TRUE(parts);
    (*parts)->now = [now = MonotonicTime()]() mutable { return now += std::chrono::seconds(5); };
    return std::move(*parts);
  }

  std::unique_ptr<MachineParts> source_;
  Result<Cancellation> cancellation_ = Cancellation::create();
};

TEST_F(Stall, GivenUpTheGuestGoesOn) {
  const auto moved = move_in_vain(options(OnStall::give_up));
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::not_converging) << moved.sent.error().message;
  EXPECT_NE(moved.sent.error().message.find("changes its memory faster than"), std::string::npos)
      << moved.sent.error().message;
  EXPECT_FALSE(moved.received);
  // A burst would have been waited for.
  EXPECT_GT(told_.back().round, 5U);
  for (const auto& progress : told_) {
    EXPECT_FALSE(progress.stopped);
    EXPECT_EQ(progress.slowdown, Percent{});
  }
  expect_as_if_nothing_had_been(*source_vm_);
  expect_a_move_succeeds(*source_vm_);
}

TEST_F(Stall, PausedTheGuestArrives) {
  const auto moved = move_in_vain(options(OnStall::pause));
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_TRUE(told_.back().stopped);
  EXPECT_GT(told_.back().round, 5U);
  // Far more than what fitted into the pause that was allowed.
  EXPECT_GE(moved.sent->rounds.back().pages + moved.sent->rounds.back().zero_pages, kFilledSize / kPageSize);
  EXPECT_TRUE(have_same_memory(*source_vm_, *destination_));
  destination_->run();
  expect_good_memory(*destination_);
}

TEST_F(Stall, SlowedStepByStepAsFarAsIsAllowedAndThenGivenUp) {
  const auto moved = move_in_vain(options(OnStall::give_up, Percent{25}));
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::not_converging) << moved.sent.error().message;
  std::vector<std::uint32_t> steps;
  for (const auto& progress : told_) steps.push_back(progress.slowdown.count);
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  EXPECT_EQ(steps, (std::vector<std::uint32_t>{0, 10, 20, 25}));
  expect_as_if_nothing_had_been(*source_vm_);
  expect_a_move_succeeds(*source_vm_);
}

}  // namespace
}  // namespace vmigrate::kvm
