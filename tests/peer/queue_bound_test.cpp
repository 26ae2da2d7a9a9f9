#include "peer/queue_bound.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::peer {
namespace {

constexpr auto kStep = std::chrono::milliseconds(10);

/// After so long at a rate in bytes a second.
std::size_t bound_after(QueueBound& bound, MonotonicTime& now, double rate, std::chrono::milliseconds time) {
  for (auto passed = std::chrono::milliseconds(0); passed < time; passed += kStep) {
    now += kStep;
    bound.passed(static_cast<std::size_t>(rate * std::chrono::duration<double>(kStep).count()), now);
  }
  return bound.bytes();
}

TEST(QueueBound, IsWhatPassesInFiftyMilliseconds) {
  MonotonicTime now{};
  QueueBound bound(now);
  EXPECT_NEAR(static_cast<double>(bound_after(bound, now, 100e6, std::chrono::seconds(1))), 5e6, 1e3);
  EXPECT_NEAR(static_cast<double>(bound_after(bound, now, 20e6, std::chrono::seconds(1))), 1e6, 1e3);
}

TEST(QueueBound, IsNotForgottenWhileASourceHasLittleToSay) {
  MonotonicTime now{};
  QueueBound bound(now);
  bound_after(bound, now, 100e6, std::chrono::seconds(1));
  EXPECT_GT(bound_after(bound, now, 0, std::chrono::milliseconds(100)), std::size_t{3'000'000});
}

RC_GTEST_PROP(QueueBound, IsWithinItsLimitsAndSaysWhenItChanges, (const std::vector<std::uint32_t>& steps)) {
  MonotonicTime now{};
  QueueBound bound(now);
  for (const auto step : steps) {
    const auto before = bound.bytes();
    now += std::chrono::microseconds(step % 100'000);
    const bool changed = bound.passed(step, now);
    RC_ASSERT(changed == (bound.bytes() != before));
    RC_ASSERT(bound.bytes() >= QueueBound::kLeast);
    RC_ASSERT(bound.bytes() <= QueueBound::kMost);
  }
}

}  // namespace
}  // namespace vmigrate::peer
