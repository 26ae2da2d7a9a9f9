#include "cli/since.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

namespace vmigrate::cli {
namespace {

using namespace std::chrono_literals;

class SinceTest : public testing::Test {
 protected:
  SinceTest() {
    // One thread. NOLINTNEXTLINE(concurrency-mt-unsafe)
    ::setenv("TZ", "UTC", 1);
  }
  /// Seconds since 1970; 0: it is no moment.
  static std::int64_t seconds(const std::string& text) {
    const auto since = parse_since(text, now_);
    return since ? std::chrono::duration_cast<std::chrono::seconds>(since->time_since_epoch()).count() : 0;
  }
  static constexpr std::chrono::system_clock::time_point now_{1'764'116'000s};
};

TEST_F(SinceTest, SomeTimeAgo) {
  EXPECT_EQ(seconds("30m"), 1'764'116'000 - 1800);
  EXPECT_EQ(seconds("12h"), 1'764'116'000 - 43'200);
  EXPECT_EQ(seconds("7d"), 1'764'116'000 - 604'800);
}

TEST_F(SinceTest, ADayAndAnHour) {
  EXPECT_EQ(seconds("2025-11-25"), 1'764'028'800);
  EXPECT_EQ(seconds("2025-11-25 18:00"), 1'764'028'800 + 64'800);
  EXPECT_EQ(seconds("2025-11-25 18:00:30"), 1'764'028'800 + 64'830);
}

TEST_F(SinceTest, WhatIsNoMomentIsRefused) {
  for (const auto* text : {"", "d", "-1d", "1.5d", "7", "99999999999999d", "yesterday", "2025-02-30",
                           "2025-13-01", "2025-11-25 18:00 x", "2025-11-25T18:00"}) {
    EXPECT_EQ(seconds(text), 0) << text;
  }
}

}  // namespace
}  // namespace vmigrate::cli
