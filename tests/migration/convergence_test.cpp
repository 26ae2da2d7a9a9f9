#include "migration/convergence.hpp"

#include <gtest/gtest.h>

namespace vmigrate::migration {
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

TEST(StallWatch, NothingIsHopelessWhileTheAllowedPauseIsStillToBeRaised) {
  Passes passes;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(passes.run(500'000'000, false));
}

}  // namespace
}  // namespace vmigrate::migration
