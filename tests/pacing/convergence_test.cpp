#include "pacing/convergence.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::pacing {
namespace {

/// Passes of five seconds, each looked at ten times on its way from what it began with to nothing.
struct Passes {
  StallWatch watch;
  MonotonicTime now{};
  std::uint32_t pass = 0;

  bool run(std::uint64_t began_with, bool may_stop = true) {
    ++pass;
    bool hopeless = false;
    for (std::uint64_t left = 10; left > 0; --left) {
      hopeless =
          watch.is_hopeless(pass, {began_with * left / 10}, may_stop, now += std::chrono::milliseconds(500));
    }
    return hopeless;
  }
};

TEST(StallWatch, PassesThatShrinkAreNotHopeless) {
  Passes passes;
  for (std::uint64_t began_with = 1 << 30; began_with > 1000; began_with = began_with * 8 / 10)
    EXPECT_FALSE(passes.run(began_with));
}

TEST(StallWatch, PassesThatDoNotAreAfterAWhile) {
  Passes passes;
  passes.run(1 << 30);
  int more = 0;
  while (!passes.run(500'000'000)) ASSERT_LT(++more, 100);
  EXPECT_GE(more, 6);
  EXPECT_LE(more, 10);
}

TEST(StallWatch, ABurstIsForgiven) {
  Passes passes;
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(passes.run(500'000'000));
  EXPECT_FALSE(passes.run(400'000'000));
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(passes.run(400'000'000));
}

TEST(StallWatch, PassesOfLessThanASecondAreSeenThroughTheLuckOfTheLooks) {
  // Of every pass three looks, at moments that differ: the most that they see varies by a third.
  StallWatch watch;
  MonotonicTime now{};
  bool hopeless = false;
  std::uint32_t pass = 0;
  for (; !hopeless && pass < 100; ++pass) {
    for (std::uint64_t look = 0; look < 3; ++look) {
      const std::uint64_t done = look * 30 + (pass * 17 + look * 11) % 30;
      hopeless = watch.is_hopeless(pass + 1, {5'000'000 * (100 - done)}, true,
                                   now += std::chrono::milliseconds(270));
    }
  }
  EXPECT_TRUE(hopeless);
  EXPECT_GE(pass, 35U);
}

TEST(StallWatch, NothingIsHopelessWhileTheAllowedPauseIsStillToBeRaised) {
  Passes passes;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(passes.run(500'000'000, false));
}

/// Passes of five seconds, looked at when they begin and before they end.
struct SlowedPasses {
  explicit SlowedPasses(std::uint32_t most) : convergence(Percent{most}) {}
  Convergence convergence;
  MonotonicTime now{};
  std::uint32_t pass = 0;

  Convergence::Verdict run(std::uint64_t began_with, bool may_stop = true,
                           Milliseconds takes = std::chrono::seconds(5)) {
    convergence.judge(++pass, {began_with}, may_stop, now);
    now += takes;
    return convergence.judge(pass, {began_with / 10}, may_stop, now);
  }
};

TEST(Convergence, WithoutLeaveNothingIsSlowedAndItIsHopelessAsEver) {
  Convergence convergence;
  StallWatch watch;
  MonotonicTime now{};
  bool hopeless = false;
  for (std::uint32_t pass = 1; !hopeless; ++pass) {
    ASSERT_LT(pass, 100U);
    now += std::chrono::seconds(5);
    hopeless = watch.is_hopeless(pass, {500'000'000}, true, now);
    const auto verdict = convergence.judge(pass, {500'000'000}, true, now);
    EXPECT_EQ(verdict.slowdown, Percent{0});
    EXPECT_EQ(verdict.hopeless, hopeless);
  }
}

TEST(Convergence, PassesInVainSlowByOneStepAfterTheOther) {
  SlowedPasses passes(25);
  std::vector<std::uint32_t> steps{0};
  int unchanged = 0;
  for (bool hopeless = false; !hopeless; ++unchanged) {
    ASSERT_LT(unchanged, 100);
    const auto verdict = passes.run(500'000'000);
    hopeless = verdict.hopeless;
    if (verdict.slowdown.count == steps.back()) continue;
    // Of the passes since the last step three may have begun without it.
    EXPECT_GE(unchanged, 4);
    steps.push_back(verdict.slowdown.count);
    unchanged = 0;
  }
  EXPECT_EQ(steps, (std::vector<std::uint32_t>{0, 10, 20, 25}));
  // As long at the cap as without slowing.
  EXPECT_GE(unchanged, 6);
}

TEST(Convergence, WhatHelpsIsKeptAndNotRaised) {
  SlowedPasses passes(60);
  std::uint64_t began_with = 500'000'000;
  while (passes.run(began_with).slowdown < Percent{20}) ASSERT_LT(passes.pass, 100U);
  for (; began_with > 1000; began_with = began_with * 8 / 10) {
    const auto verdict = passes.run(began_with);
    EXPECT_EQ(verdict.slowdown, Percent{20});
    EXPECT_FALSE(verdict.hopeless);
  }
}

TEST(Convergence, PassesOfABlinkAreNoReasonToSlow) {
  SlowedPasses passes(60);
  for (int i = 0; i < 90; ++i) {
    EXPECT_EQ(passes.run(500'000'000, true, Milliseconds(100)).slowdown, Percent{0});
  }
}

TEST(Convergence, NothingIsSlowedWhileTheAllowedPauseIsStillToBeRaised) {
  SlowedPasses passes(60);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(passes.run(500'000'000, false).slowdown, Percent{0});
}

RC_GTEST_PROP(Convergence, SlowsByStepsNeverBackwardsNeverBeyondWhatIsAllowedAndGivesUpOnlyThere,
              (const std::vector<std::pair<std::uint16_t, bool>>& sizes)) {
  const auto most = *rc::gen::inRange<std::uint32_t>(0, 91);
  SlowedPasses passes(most);
  Percent last;
  // As they come, and then for long the same, so that every cap is reached.
  auto all = sizes;
  all.insert(all.end(), 80, {1000, true});
  for (const auto& [began_with, may_stop] : all) {
    const auto verdict = passes.run(began_with, may_stop);
    RC_ASSERT(verdict.slowdown <= Percent{most});
    RC_ASSERT(verdict.slowdown >= last);
    RC_ASSERT(verdict.slowdown.count - last.count <= 10U);
    RC_ASSERT(!verdict.hopeless || verdict.slowdown == Percent{most});
    last = verdict.slowdown;
  }
  RC_ASSERT(last == Percent{most});
}

RC_GTEST_PROP(Convergence, NeverSlowsWhatConverges, (std::uint16_t seed)) {
  SlowedPasses passes(*rc::gen::inRange<std::uint32_t>(0, 91));
  std::uint64_t began_with = (std::uint64_t{seed} + 1) << 24;
  while (began_with > 100) {
    const auto verdict =
        passes.run(began_with, true, Milliseconds(*rc::gen::inRange<std::int64_t>(1, 600'000)));
    RC_ASSERT(verdict.slowdown == Percent{0});
    RC_ASSERT(!verdict.hopeless);
    began_with = began_with * *rc::gen::inRange<std::uint64_t>(0, 89) / 100;
  }
}

}  // namespace
}  // namespace vmigrate::pacing
