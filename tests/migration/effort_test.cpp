#include "migration/effort.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::migration {
namespace {

constexpr std::chrono::milliseconds kTick{100};

/// Two hosts as numbers: what each effort makes of the stream, and how fast.
struct Model {
  double wire;                           // bytes a second
  std::array<double, kEfforts> speed;    // bytes of the stream a second that the workers pack
  std::array<double, kEfforts> smaller;  // by which factor
  double source = 1e9;                   // bytes a second that there are

  double rate(Effort effort) const {
    const auto at = static_cast<std::size_t>(effort);
    return std::min({source, speed[at], wire * smaller[at]});
  }
  Load load(Effort effort) const {
    const auto at = static_cast<std::size_t>(effort);
    return {rate(effort) / smaller[at] / wire, rate(effort) / speed[at], rate(effort), wire};
  }
};

Effort settled(const Model& model) {
  EffortChooser chooser;
  MonotonicTime now{};
  for (int i = 0; i < 20; ++i) chooser.update(model.load(chooser.current()), now += kTick);
  return chooser.current();
}

constexpr std::array kSpeeds{2e9, 1.4e9, 0.6e9, 0.4e9};
constexpr std::array kLinux{1.0, 2.4, 3.9, 4.2};
constexpr std::array kRandom{1.0, 1.0, 1.0, 1.0};

TEST(Effort, ASlowLinkGetsTheStrongestAndAFastOneNothing) {
  EXPECT_EQ(settled({3e6, kSpeeds, kLinux}), Effort::strong);
  EXPECT_EQ(settled({37e6, kSpeeds, kLinux}), Effort::strong);
  EXPECT_EQ(settled({1e10, kSpeeds, kLinux}), Effort::none);
}

TEST(Effort, StaysWhereMoreComesThroughThanNextToIt) {
  // 1.2 Gbit/s: zstd makes 585 MB/s of it; a higher level only 400.
  EXPECT_EQ(settled({150e6, kSpeeds, kLinux}), Effort::medium);
  // 3 Gbit/s: lz4 makes 900 MB/s of it; zstd only 600.
  EXPECT_EQ(settled({375e6, kSpeeds, kLinux}), Effort::light);
  // 4 Gbit/s and more: nobody notices.
  EXPECT_EQ(settled({500e6, kSpeeds, kLinux}), Effort::none);
}

TEST(Effort, WhatCannotBeMadeSmallerIsOnlyRemembered) {
  EXPECT_EQ(settled({37e6, kSpeeds, kRandom}), Effort::light);
}

TEST(Effort, AnIdleGuestTellsNothing) {
  EXPECT_EQ(settled({37e6, kSpeeds, kLinux, 1e6}), Effort::none);
}

TEST(Effort, AStepThatDoesNotHelpIsTriedEverMoreSeldom) {
  const Model model{37e6, kSpeeds, kRandom};
  EffortChooser chooser;
  MonotonicTime now{};
  int tries = 0;
  for (int i = 0; i < 600; ++i) {
    const auto before = chooser.current();
    if (chooser.update(model.load(before), now += kTick) != before && before == Effort::light) ++tries;
  }
  EXPECT_GE(tries, 3);
  EXPECT_LE(tries, 7);
}

TEST(Effort, FollowsALinkThatBecomesFaster) {
  const Model slow{37e6, kSpeeds, kLinux};
  const Model fast{1e10, kSpeeds, kLinux};
  EffortChooser chooser;
  MonotonicTime now{};
  for (int i = 0; i < 50; ++i) chooser.update(slow.load(chooser.current()), now += kTick);
  EXPECT_EQ(chooser.current(), Effort::strong);
  for (int i = 0; i < 50; ++i) chooser.update(fast.load(chooser.current()), now += kTick);
  EXPECT_EQ(chooser.current(), Effort::none);
}

RC_GTEST_PROP(Effort, NeverSettlesFarBelowTheBestNeighbour, ()) {
  const auto rate = [](double least, double most) {
    return static_cast<double>(
               *rc::gen::inRange(static_cast<int>(least / 1e5), static_cast<int>(most / 1e5))) *
           1e5;
  };
  Model model{rate(1e6, 5e9), {}, {1.0, 1.0, 1.0, 1.0}};
  double speed = rate(1e9, 3e9);
  double smaller = 1;
  for (std::size_t at = 0; at < kEfforts; ++at) {
    model.speed[at] = speed;
    model.smaller[at] = smaller;
    speed *= rate(3e7, 1e8) / 1e8;
    smaller *= rate(1e8, 3e8) / 1e8;
  }
  const auto at = settled(model);
  if (at != Effort::none) {
    const auto lower = static_cast<Effort>(static_cast<int>(at) - 1);
    RC_ASSERT(model.rate(at) >= model.rate(lower) * 0.95);
  }
}

}  // namespace
}  // namespace vmigrate::migration
