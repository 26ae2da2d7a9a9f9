#include "pacing/switchover.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::pacing {
namespace {

constexpr std::uint32_t kLate = 1000;  // a pass by which every limit has grown to its end

SwitchoverTerms with_kvm(Milliseconds max_pause, Milliseconds round_trip = {}) {
  return {max_pause, true, round_trip};
}

TEST(Switchover, TheLimitBeginsSmallAndGrowsWithThePassesThatDidNotComeDownToIt) {
  const auto terms = with_kvm(Milliseconds(300));
  EXPECT_LE(downtime_limit(1, terms), Milliseconds(20));
  EXPECT_EQ(downtime_limit(2, terms), Milliseconds(20));
  EXPECT_EQ(downtime_limit(3, terms), Milliseconds(40));
  EXPECT_EQ(downtime_limit(4, terms), Milliseconds(80));
  EXPECT_FALSE(is_largest_limit(downtime_limit(4, terms), terms));
  EXPECT_TRUE(is_largest_limit(downtime_limit(kLate, terms), terms));
}

TEST(Switchover, GuestsWhoseEmulationLosesPagesAreSparedPasses) {
  const SwitchoverTerms emulated{Milliseconds(300), false, {}};
  EXPECT_TRUE(is_largest_limit(downtime_limit(1, emulated), emulated));
}

TEST(Switchover, WhatIsAllowedIsForMoreThanTheMemory) {
  const auto near = downtime_limit(kLate, with_kvm(Milliseconds(300)));
  // Although the rate that it was reckoned with may prove to be half too high.
  const auto whole = near * 3 / 2 + pause_beside_memory(1, with_kvm(Milliseconds(300)));
  EXPECT_LE(whole, Milliseconds(300));
  EXPECT_GE(whole, Milliseconds(297));
  const auto far = downtime_limit(kLate, with_kvm(Milliseconds(300), Milliseconds(50)));
  EXPECT_GE(near - far, Milliseconds(16));
  EXPECT_LE(near - far, Milliseconds(17));
}

TEST(Switchover, EmulatedGuestsAreAllowedLessTheFurtherAwayTheOtherHostIs) {
  const SwitchoverTerms near{Milliseconds(300), false, {}};
  const SwitchoverTerms far{Milliseconds(300), false, Milliseconds(50)};
  EXPECT_EQ(downtime_limit(1, near) - downtime_limit(1, far), Milliseconds(67));
  // That is not because the rest takes longer.
  EXPECT_EQ(pause_beside_memory(1, far) - pause_beside_memory(1, near), Milliseconds(25));
}

TEST(Switchover, APauseThatCannotBeKeptDoesNotKeepTheVmForEver) {
  EXPECT_EQ(downtime_limit(kLate, with_kvm(Milliseconds(20))), Milliseconds(5));
  EXPECT_EQ(downtime_limit(kLate, with_kvm(Milliseconds(300), Milliseconds(500))), Milliseconds(75));
}

TEST(Switchover, ThePauseToExpectIsWhatFitsTheLimitAndWhatComesBeside) {
  const auto terms = with_kvm(Milliseconds(300), Milliseconds(10));
  const Rate moved{100'000'000};
  const auto beside = pause_beside_memory(0.5, terms);
  EXPECT_EQ(pause_to_expect({1'000'000}, moved, 0.5, Milliseconds(80), terms), beside + Milliseconds(10));
  EXPECT_EQ(pause_to_expect({1'000'000'000}, moved, 0.5, Milliseconds(80), terms),
            beside + Milliseconds(120));
  EXPECT_EQ(pause_to_expect({1}, {}, 0.5, Milliseconds(80), terms), std::nullopt);
}

TEST(Switchover, AQueueIsExpectedOnlyWhereTheNetworkIsWaitedFor) {
  const auto terms = with_kvm(Milliseconds(300));
  EXPECT_LT(pause_beside_memory(0, terms), pause_beside_memory(1, terms));
}

RC_GTEST_PROP(Switchover, NoLimitIsBeyondWhatIsAllowedNorNothing, (std::uint32_t pass)) {
  const Milliseconds max_pause(*rc::gen::inRange(4, 1'800'000));
  const Milliseconds round_trip(*rc::gen::inRange(0, 10'000));
  const SwitchoverTerms terms{max_pause, *rc::gen::arbitrary<bool>(), round_trip};
  const auto limit = downtime_limit(pass, terms);
  RC_ASSERT(limit > Milliseconds(0));
  RC_ASSERT(limit <= max_pause);
  RC_ASSERT(downtime_limit(kLate, terms) >= limit);
}

RC_GTEST_PROP(Switchover, NoForecastOverflows,
              (std::uint64_t remaining, std::uint64_t moved, std::uint32_t limit)) {
  const auto pause =
      pause_to_expect({remaining}, {moved}, 1, Milliseconds(limit), with_kvm(Milliseconds(300)));
  RC_ASSERT(pause.has_value() == (moved > 0));
  if (pause)
    RC_ASSERT(*pause >= Milliseconds(0) && *pause <= Milliseconds(limit) * 3 / 2 + Milliseconds(301));
}

}  // namespace
}  // namespace vmigrate::pacing
