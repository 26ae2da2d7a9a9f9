#include "migration/backlog.hpp"

#include <future>

#include <gtest/gtest.h>

namespace vmigrate::migration {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;
constexpr std::uint64_t kLeast = 32 * kMebibyte;

class BacklogTest : public testing::Test {
 protected:
  bool has_room(milliseconds patience = milliseconds(20'000)) {
    auto waiting = std::async(std::launch::async, [this] { backlog_.wait_for_room(); });
    const bool has = waiting.wait_for(patience) == std::future_status::ready;
    backlog_.let_go();
    return has;
  }
  bool holds_back() { return !has_room(milliseconds(100)); }
  /// Told every ten milliseconds.
  void taken(std::uint64_t stream_bytes) { backlog_.taken(stream_bytes, now_ += milliseconds(10)); }
  /// 100 MiB every ten milliseconds, ten gigabytes a second: half of one is what passes in 50 ms. Gives how
  /// many parts of the stream that were.
  std::uint64_t taken_fast() {
    std::uint64_t part = 0;
    while (part++ < 50) {
      backlog_.sent(part, part * 100 * kMebibyte);
      taken(part);
    }
    return 50;
  }

  Backlog backlog_{milliseconds(0)};
  MonotonicTime now_;
};

TEST_F(BacklogTest, CountsWhatWasSentAndNotTaken) {
  EXPECT_EQ(backlog_.on_its_way(), 0U);
  backlog_.sent(10, 100 * kMebibyte);
  backlog_.sent(20, 300 * kMebibyte);
  EXPECT_EQ(backlog_.on_its_way(), 300 * kMebibyte);
  taken(9);
  EXPECT_EQ(backlog_.on_its_way(), 300 * kMebibyte);
  taken(10);
  EXPECT_EQ(backlog_.on_its_way(), 200 * kMebibyte);
  taken(25);
  EXPECT_EQ(backlog_.on_its_way(), 0U);
  backlog_.sent(30, 301 * kMebibyte);
  EXPECT_EQ(backlog_.on_its_way(), kMebibyte);
}

TEST_F(BacklogTest, SmallPartsAreKnownToBeTakenOnceAllOfThemAre) {
  for (std::uint64_t part = 1; part <= 100; ++part) backlog_.sent(part, part * 64 * 1024);
  taken(99);
  EXPECT_LE(backlog_.on_its_way(), kMebibyte);
  taken(100);
  EXPECT_EQ(backlog_.on_its_way(), 0U);
}

TEST_F(BacklogTest, NothingIsHeldBackOfADestinationThatSaysNothing) {
  for (std::uint64_t part = 1; part <= 100'000; ++part) backlog_.sent(part, part * kMebibyte);
  EXPECT_TRUE(has_room());
}

TEST_F(BacklogTest, OfOneThatTakesNothingLittleIsSentAhead) {
  taken(0);
  taken(0);
  backlog_.sent(1, kLeast);
  backlog_.sent(2, kLeast + kMebibyte);
  EXPECT_TRUE(holds_back());
}

TEST_F(BacklogTest, WhatIsTakenMakesRoom) {
  taken(0);
  taken(0);
  backlog_.sent(1, 2 * kMebibyte);
  backlog_.sent(2, kLeast + kMebibyte);
  taken(1);
  EXPECT_TRUE(has_room());
}

TEST_F(BacklogTest, OfOneThatIsFastMuchMayBeOnItsWay) {
  const auto part = taken_fast();
  backlog_.sent(part + 1, part * 100 * kMebibyte + 400 * kMebibyte);
  EXPECT_TRUE(has_room());
}

TEST_F(BacklogTest, OfOneThatHasBecomeSlowNoMore) {
  const auto part = taken_fast();
  for (int i = 0; i < 100; ++i) taken(part);
  backlog_.sent(part + 1, part * 100 * kMebibyte + 400 * kMebibyte);
  EXPECT_TRUE(holds_back());
}

TEST(Backlog, AFarDestinationMayHaveMoreOnItsWay) {
  EXPECT_EQ(Backlog::most(1e9, milliseconds(0)), 50'000'000U);
  EXPECT_EQ(Backlog::most(1e9, milliseconds(150)), 200'000'000U);
  EXPECT_EQ(Backlog::most(1e6, milliseconds(150)), kLeast);
}

}  // namespace
}  // namespace vmigrate::migration
