#include "audit/limiter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmigrate::audit {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

const MonotonicTime kNow{std::chrono::hours(1)};

Entry refused(const std::string& peer, const std::string& address = "192.0.2.1:1") {
  Entry entry;
  entry.action = "connect";
  entry.result = "refused";
  entry.peer = peer;
  entry.address = address;
  return entry;
}

int admitted(Limiter& limiter, const Entry& entry, Keep keep, int times) {
  int count = 0;
  for (int i = 0; i < times; ++i) count += limiter.admit(entry, keep, kNow) ? 1 : 0;
  return count;
}

TEST(LimiterTest, WhatIsToBeKeptAlwaysIs) {
  Limiter limiter;
  EXPECT_EQ(admitted(limiter, refused("hostb"), Keep::every, 1000), 1000);
  EXPECT_THAT(limiter.all(), IsEmpty());
}

TEST(LimiterTest, AFloodIsWrittenAFewTimesAndThenCounted) {
  Limiter limiter;
  EXPECT_EQ(admitted(limiter, refused("hostb"), Keep::some, 1'000'000), 20);
  EXPECT_THAT(limiter.due(kNow + Limiter::kWhile - Milliseconds(1)), IsEmpty());
  const auto summaries = limiter.due(kNow + Limiter::kWhile);
  ASSERT_THAT(summaries, SizeIs(1));
  EXPECT_EQ(summaries[0].count, 999'980U);
  EXPECT_EQ(summaries[0].peer, "hostb");
  EXPECT_EQ(summaries[0].result, "refused");
  // And then it begins anew.
  EXPECT_EQ(admitted(limiter, refused("hostb"), Keep::some, 30), 20);
}

TEST(LimiterTest, WhoOnlyLooksIsWrittenOnce) {
  Limiter limiter;
  EXPECT_EQ(admitted(limiter, refused("hostb"), Keep::first, 50), 1);
  EXPECT_EQ(limiter.all().at(0).count, 49U);
}

TEST(LimiterTest, StrangersAreOneWhateverTheirAddress) {
  Limiter limiter;
  int written = 0;
  for (int i = 0; i < 1000; ++i)
    written +=
        limiter.admit(refused("", "[2001:db8::" + std::to_string(i) + "]:1"), Keep::some, kNow) ? 1 : 0;
  EXPECT_EQ(written, 20);
}

TEST(LimiterTest, AFloodOfOneHidesNothingOfAnother) {
  Limiter limiter;
  admitted(limiter, refused(""), Keep::some, 1000);
  EXPECT_EQ(admitted(limiter, refused("hostb"), Keep::some, 1), 1);
  auto accepted = refused("hostb");
  accepted.result = "accepted";
  admitted(limiter, refused("hostb"), Keep::some, 1000);
  EXPECT_EQ(admitted(limiter, accepted, Keep::some, 1), 1);
}

TEST(LimiterTest, NamesWithoutEndAreCountedTogether) {
  Limiter limiter;
  int written = 0;
  for (int i = 0; i < 100'000; ++i)
    written += limiter.admit(refused("host" + std::to_string(i)), Keep::some, kNow) ? 1 : 0;
  EXPECT_EQ(written, 256 + 20);
  const auto summaries = limiter.all();
  ASSERT_THAT(summaries, SizeIs(1));
  EXPECT_EQ(summaries[0].action, "several");
  EXPECT_EQ(summaries[0].peer, "");
  EXPECT_EQ(summaries[0].count, 100'000U - 256 - 20);
}

}  // namespace
}  // namespace vmigrate::audit
