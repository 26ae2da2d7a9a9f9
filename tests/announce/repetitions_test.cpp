#include "announce/repetitions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "announce/schedule.hpp"
#include "mac.hpp"

namespace vmigrate::announce {
namespace {

using namespace std::chrono_literals;

const MacAddress kOther{{0x52, 0x54, 0x00, 0x12, 0x34, 0x57}};
const MonotonicTime kStart{1h};

Announcement announcement_of(const MacAddress& mac, std::string tap = "vnet0") {
  return {.mac = mac, .bridge = "br0", .tap = std::move(tap), .where = {1, 2}, .frames = {}};
}

/// Follows next() to the end: the times at which something was sent, from kStart.
std::vector<Milliseconds> times_of(Repetitions& repetitions) {
  std::vector<Milliseconds> times;
  while (const auto next = repetitions.next()) {
    for (std::size_t i = repetitions.take_due(*next).size(); i > 0; --i) {
      times.push_back(std::chrono::duration_cast<Milliseconds>(*next - kStart));
    }
  }
  return times;
}

TEST(Schedule, is_dense_at_the_handover_and_outlasts_a_topology_change) {
  EXPECT_THAT(announcement_schedule(),
              testing::ElementsAre(0ms, 50ms, 150ms, 250ms, 350ms, 1350ms, 2350ms, 3350ms, 4350ms, 5350ms,
                                   6350ms, 7350ms, 8350ms, 9350ms));
}

TEST(Repetitions, follow_the_schedule_after_its_first_turn_and_then_end) {
  Repetitions repetitions(announcement_schedule());
  repetitions.add(announcement_of(kMac), kStart);
  auto expected = announcement_schedule();
  expected.erase(expected.begin());
  EXPECT_EQ(times_of(repetitions), expected);
}

TEST(Repetitions, of_several_interfaces_keep_their_own_times) {
  Repetitions repetitions({0ms, 50ms, 150ms});
  repetitions.add(announcement_of(kMac), kStart);
  repetitions.add(announcement_of(kOther), kStart + 20ms);
  EXPECT_THAT(times_of(repetitions), testing::ElementsAre(50ms, 70ms, 150ms, 170ms));
}

TEST(Repetitions, nothing_is_due_before_its_time) {
  Repetitions repetitions({0ms, 50ms});
  repetitions.add(announcement_of(kMac), kStart);
  EXPECT_TRUE(repetitions.take_due(kStart + 49ms).empty());
  EXPECT_EQ(repetitions.take_due(kStart + 50ms).size(), 1);
}

TEST(Repetitions, turns_that_were_slept_through_are_made_up_for_by_one) {
  Repetitions repetitions({0ms, 50ms, 150ms, 250ms, 350ms});
  repetitions.add(announcement_of(kMac), kStart);
  EXPECT_EQ(repetitions.take_due(kStart + 300ms).size(), 1);
  EXPECT_EQ(repetitions.next(), kStart + 350ms);
  EXPECT_EQ(repetitions.take_due(kStart + 1h).size(), 1);
  EXPECT_EQ(repetitions.next(), std::nullopt);
}

TEST(Repetitions, a_vm_that_came_back_is_announced_where_it_is_now) {
  Repetitions repetitions({0ms, 50ms, 150ms});
  repetitions.add(announcement_of(kMac, "vnet0"), kStart);
  repetitions.add(announcement_of(kMac, "vnet1"), kStart + 10ms);
  EXPECT_TRUE(repetitions.take_due(kStart + 50ms).empty());
  const auto due = repetitions.take_due(kStart + 60ms);
  ASSERT_EQ(due.size(), 1);
  EXPECT_EQ(due[0].tap, "vnet1");
}

TEST(Repetitions, removed_ones_are_not_due_any_more) {
  Repetitions repetitions({0ms, 50ms});
  repetitions.add(announcement_of(kMac), kStart);
  repetitions.add(announcement_of(kOther), kStart);
  repetitions.remove(kMac);
  const auto due = repetitions.take_due(kStart + 1h);
  ASSERT_EQ(due.size(), 1);
  EXPECT_EQ(due[0].mac, kOther);
}

TEST(Repetitions, a_schedule_of_one_turn_repeats_nothing) {
  Repetitions repetitions({0ms});
  repetitions.add(announcement_of(kMac), kStart);
  EXPECT_EQ(repetitions.next(), std::nullopt);
}

}  // namespace
}  // namespace vmigrate::announce
