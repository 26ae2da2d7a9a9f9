#include "peer/queue_bound.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::peer {
namespace {

constexpr auto kStep = std::chrono::milliseconds(10);

class QueueBoundTest : public testing::Test {
 protected:
  /// After so long at a rate in bytes a second.
  std::size_t bound_after(double rate, std::chrono::milliseconds time) {
    for (auto passed = std::chrono::milliseconds(0); passed < time; passed += kStep) {
      gone_ += static_cast<std::uint64_t>(rate * std::chrono::duration<double>(kStep).count());
      bound_.gone(gone_, now_ += kStep);
    }
    return bound_.bytes();
  }

  MonotonicTime now_;
  std::uint64_t gone_ = 0;
  QueueBound bound_{now_};
};

TEST_F(QueueBoundTest, IsWhatPassesInFiftyMilliseconds) {
  EXPECT_NEAR(static_cast<double>(bound_after(60e6, std::chrono::seconds(1))), 3e6, 1e3);
  EXPECT_NEAR(static_cast<double>(bound_after(20e6, std::chrono::seconds(4))), 1e6, 1e3);
}

TEST_F(QueueBoundTest, SaysHowLongItTakesThatMuchToPass) {
  bound_after(60e6, std::chrono::seconds(1));
  EXPECT_EQ(bound_.time(), std::chrono::milliseconds(50));
  // The least that there may be, on a link of 10 Mbit/s.
  bound_after(1.25e6, std::chrono::seconds(30));
  EXPECT_NEAR(std::chrono::duration<double>(bound_.time()).count(), QueueBound::kLeast / 1.25e6, 1e-3);
}

TEST_F(QueueBoundTest, IsNotForgottenWhileASourceHasLittleToSay) {
  bound_after(60e6, std::chrono::seconds(1));
  EXPECT_GT(bound_after(0, std::chrono::milliseconds(200)), std::size_t{2'000'000});
}

RC_GTEST_PROP(QueueBound, IsWithinItsLimitsAndSaysWhenItChanges, (const std::vector<std::uint32_t>& steps)) {
  MonotonicTime now{};
  QueueBound bound(now);
  std::uint64_t gone = 0;
  for (const auto step : steps) {
    const auto before = bound.bytes();
    now += std::chrono::microseconds(step % 100'000);
    const bool changed = bound.gone(gone += step, now);
    RC_ASSERT(changed == (bound.bytes() != before));
    RC_ASSERT(bound.bytes() >= QueueBound::kLeast);
    RC_ASSERT(bound.bytes() <= QueueBound::kMost);
  }
}

}  // namespace
}  // namespace vmigrate::peer
