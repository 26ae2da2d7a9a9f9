#include "migration/effort.hpp"

#include <algorithm>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::migration {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr int kWorkers = 4;

/// Two hosts as numbers: what each effort makes of the stream, and how fast.
struct Model {
  double network;                        // bytes a second
  std::array<double, kEfforts> speed;    // bytes of the stream a second that are packed
  std::array<double, kEfforts> smaller;  // by which factor
  double source = 1e9;                   // bytes a second that there are

  double rate(Effort effort) const {
    const auto at = static_cast<std::size_t>(effort);
    return std::min({source, speed[at], network * smaller[at]});
  }
  Load load(Effort effort) const {
    const auto at = static_cast<std::size_t>(effort);
    const double now = rate(effort);
    const double wire = now / smaller[at];
    // Whoever is slowest is the one that is waited for.
    const bool at_network = now == network * smaller[at] && now < source;
    const bool at_packing = !at_network && now == speed[at] && now < source;
    const double packing = at_packing ? 0.9 : 0.5 * now / speed[at];  // workers do some of it beside the wire
    return {at_network ? 0.9 : 0.0, packing, at_network ? 0.9 : 0.1, now, now, wire};
  }
};

/// How often each effort was used in `ticks` ticks.
std::array<int, kEfforts> used(const Model& model, EffortChooser& chooser, int ticks = 600) {
  std::array<int, kEfforts> counts{};
  MonotonicTime now{};
  for (int i = 0; i < ticks; ++i) {
    ++counts[static_cast<std::size_t>(chooser.update(model.load(chooser.current()), now += kTick))];
  }
  return counts;
}

Effort mostly(const Model& model) {
  EffortChooser chooser(kWorkers);
  const auto counts = used(model, chooser);
  return static_cast<Effort>(std::ranges::max_element(counts) - counts.begin());
}

/// For ten seconds of the same, from the clock's beginning on.
void expect_stays(EffortChooser& chooser, Effort effort, const Load& load) {
  MonotonicTime now{};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(chooser.update(load, now += kTick), effort) << i;
}

constexpr std::array kSpeeds{2e9, 0.9e9, 0.7e9, 0.45e9};
constexpr std::array kLinux{1.0, 2.2, 3.3, 3.6};
constexpr std::array kRandom{1.0, 1.0, 1.0, 1.0};

TEST(Effort, ASlowLinkGetsTheStrongestAndAFastOneNothing) {
  EXPECT_EQ(mostly({3e6, kSpeeds, kLinux}), Effort::strong);
  EXPECT_EQ(mostly({37e6, kSpeeds, kLinux}), Effort::strong);
  EXPECT_EQ(mostly({1e10, kSpeeds, kLinux}), Effort::none);
}

TEST(Effort, StaysBelowWhatThePackersCannotDo) {
  // 1 Gbit/s: strong makes 432 MB/s of it where medium makes 396.
  EXPECT_EQ(mostly({120e6, kSpeeds, kLinux}), Effort::strong);
  // 1.4 Gbit/s: medium makes 577.
  EXPECT_EQ(mostly({175e6, kSpeeds, kLinux}), Effort::medium);
  // On a processor that does next to nothing in the time it has, medium makes four times what strong does.
  EXPECT_EQ(mostly({120e6, {2e9, 1.2e9, 0.9e9, 0.1e9}, kLinux}), Effort::medium);
  // 3 Gbit/s: light makes 825, medium on a slower processor only 500.
  EXPECT_EQ(mostly({375e6, {2e9, 0.9e9, 0.5e9, 0.3e9}, kLinux}), Effort::light);
  // 4 Gbit/s and more: nobody notices.
  EXPECT_EQ(mostly({500e6, kSpeeds, kLinux}), Effort::none);
}

TEST(Effort, TheFirstStepIsTheRightOneForTheLink) {
  const auto first = [](int workers, double network) {
    return EffortChooser(workers).update({0.9, 0, 0.9, network, network, network}, MonotonicTime{});
  };
  EXPECT_EQ(first(2, 37e6), Effort::strong);
  EXPECT_EQ(first(2, 70e6), Effort::medium);
  EXPECT_EQ(first(2, 110e6), Effort::light);
  EXPECT_EQ(first(kWorkers, 110e6), Effort::strong);
  EXPECT_EQ(first(kWorkers, 300e6), Effort::light);
}

TEST(Effort, NoMoreWorkGoesIntoWhatCannotBeMadeSmaller) {
  EXPECT_EQ(mostly({37e6, kSpeeds, kRandom}), Effort::medium);
}

TEST(Effort, WorkThatOnlyCostsIsLeft) {
  // Packing cannot follow the network with medium effort, and makes nothing smaller.
  EXPECT_EQ(mostly({180e6, {2e9, 0.3e9, 0.1e9, 0.05e9}, kRandom}), Effort::light);
}

TEST(Effort, WhatTheDestinationHasAlreadyIsWorthTheWorkThoughPackingIsNot) {
  EffortChooser chooser(kWorkers);
  chooser.update({0.9, 0, 0.9, 140e6, 140e6, 140e6}, MonotonicTime{});
  // A quarter of the stream has to be sent, and that cannot be packed.
  expect_stays(chooser, Effort::medium, {0.9, 0.1, 0.9, 148e6, 37e6, 37e6});
}

TEST(Effort, MoreWorkIsNotTriedWherePackingHasNoRoomForIt) {
  EffortChooser chooser(kWorkers);
  chooser.update({0.9, 0, 0.9, 300e6, 300e6, 300e6}, MonotonicTime{});
  expect_stays(chooser, Effort::light, {0.6, 0.4, 0.51, 500e6, 500e6, 230e6});
}

TEST(Effort, ALinkThatIsHeldBackByTheHostsOwnWorkIsLeftAlone) {
  // The processors are busy encrypting: what is put waits, but not for the network.
  EffortChooser chooser(kWorkers);
  expect_stays(chooser, Effort::none, {0.1, 0, 0.9, 300e6, 300e6, 300e6});
}

TEST(Effort, AWhileOfMemoryThatIsHardToPackIsNoReasonToLeave) {
  EffortChooser chooser(kWorkers);
  MonotonicTime now{};
  const Load easy{0.9, 0.3, 0.9, 110e6, 110e6, 36e6};
  for (int i = 0; i < 10; ++i) chooser.update(easy, now += kTick);
  for (int i = 0; i < 100; ++i) {
    // Three looks in ten the workers are what is waited for.
    const bool hard = i % 10 > 6;
    const Load load = hard ? Load{0, 0.9, 0.1, 110e6, 110e6, 20e6} : easy;
    EXPECT_EQ(chooser.update(load, now += kTick), Effort::strong) << i;
  }
}

TEST(Effort, WhatQueuesTakeForAMomentIsNotTheNetworksRate) {
  // The workers, and at times the network, are what is waited for. Were it as fast as what is put in a tick
  // that fills the queue, or as slow as in one that empties it, LZ4 would pay.
  constexpr Load kUsual{0.1, 0.8, 0.3, 110e6, 110e6, 30e6};
  constexpr Load kAtTheNetwork{0.6, 0.8, 0.5, 110e6, 110e6, 37e6};
  constexpr Load kFilled{0.2, 0.8, 0.3, 110e6, 110e6, 66e6};
  constexpr Load kEmptied{0.6, 0.8, 0.5, 110e6, 110e6, 15e6};
  EffortChooser chooser(kWorkers);
  MonotonicTime now{};
  chooser.update({0.9, 0, 0.9, 37e6, 37e6, 37e6}, now);
  for (int i = 0; i < 200; ++i) {
    const auto& load = i % 20 == 10 ? kFilled : i % 20 == 15 ? kEmptied : i % 4 == 0 ? kAtTheNetwork : kUsual;
    ASSERT_EQ(chooser.update(load, now += kTick), Effort::strong) << i;
  }
}

TEST(Effort, AnIdleGuestTellsNothing) {
  EXPECT_EQ(mostly({37e6, kSpeeds, kLinux, 1e6}), Effort::none);
}

TEST(Effort, WhatWasTooMuchIsTriedEverMoreSeldom) {
  EffortChooser chooser(kWorkers);
  // Medium makes 300 MB/s of what light makes 825 of.
  const auto counts = used({375e6, {4e9, 2e9, 0.3e9, 0.2e9}, kLinux}, chooser);
  const auto tries = counts[static_cast<std::size_t>(Effort::medium)];
  // One takes six ticks to be judged, and a minute sees six.
  EXPECT_GE(tries, 18);
  EXPECT_LE(tries, 42);
}

TEST(Effort, FollowsALinkThatBecomesFaster) {
  EffortChooser chooser(kWorkers);
  used({37e6, kSpeeds, kLinux}, chooser, 50);
  EXPECT_EQ(chooser.current(), Effort::strong);
  // As fast as the guest's memory comes: nobody waits for the fastest packing either.
  used({1e10, kSpeeds, kLinux, 0.8e9}, chooser, 100);
  EXPECT_EQ(chooser.current(), Effort::light);
  used({1e10, kSpeeds, kLinux, 2e9}, chooser, 50);
  EXPECT_EQ(chooser.current(), Effort::none);
}

RC_GTEST_PROP(Effort, NeverSettlesWhereTheNextLowerIsMuchBetter, ()) {
  const auto between = [](int least, int most) {
    return static_cast<double>(*rc::gen::inRange(least, most));
  };
  Model model{between(10, 40'000) * 1e5, {}, {}};
  double speed = between(1'000, 3'000) * 1e6;
  for (std::size_t at = 0; at < kEfforts; ++at) {
    model.speed[at] = speed;
    // What looks over the window is not much slower than what does not.
    speed *= between(static_cast<Effort>(at) == Effort::medium ? 70 : 40, 95) / 100;
  }
  const double light = between(150, 250) / 100;
  const double medium = light * between(115, 170) / 100;
  model.smaller = {1, light, medium, medium * between(100, 110) / 100};
  const auto at = mostly(model);
  if (at != Effort::none) {
    const auto lower = static_cast<Effort>(static_cast<int>(at) - 1);
    // How much smaller the lower makes it is guessed.
    RC_ASSERT(model.rate(at) >= model.rate(lower) * 0.55);
  }
}

}  // namespace
}  // namespace vmigrate::migration
