#include "base/units.hpp"

#include <gtest/gtest.h>

namespace vmigrate {
namespace {

TEST(Units, DurationsNeedAUnit) {
  EXPECT_EQ(parse_duration("300ms"), Milliseconds(300));
  EXPECT_EQ(parse_duration("1.5s"), Milliseconds(1500));
  EXPECT_EQ(parse_duration("10m"), Milliseconds(600'000));
  for (const char* bad : {"", "300", "ms", "-1s", "1 s", "3x", "1e40s", "nans"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Units, RatesAreBitsOrBytesASecond) {
  EXPECT_EQ(parse_rate("2Gbit"), Rate{250'000'000});
  EXPECT_EQ(parse_rate("100Mbit/s"), Rate{12'500'000});
  EXPECT_EQ(parse_rate("250MB"), Rate{250'000'000});
  EXPECT_EQ(parse_rate("1MiB/s"), Rate{1'048'576});
  for (const char* bad : {"", "100", "fast", "-1MB", "1e30GB"}) EXPECT_FALSE(parse_rate(bad)) << bad;
}

TEST(Units, PercentagesAreWholeNumbersUpTo100) {
  EXPECT_EQ(parse_percent("30%"), Percent{30});
  EXPECT_EQ(parse_percent("0%"), Percent{0});
  EXPECT_EQ(parse_percent("100%"), Percent{100});
  EXPECT_EQ(to_string(Percent{30}), "30%");
  for (const char* bad : {"", "%", "30", "30 %", "30%%", "-1%", "101%", "0.3%", "4294967297%"}) {
    EXPECT_FALSE(parse_percent(bad)) << bad;
  }
}

TEST(Units, PrintsThreeDigits) {
  EXPECT_EQ(to_string(Bytes{0}), "0 B");
  EXPECT_EQ(to_string(Bytes{1536}), "1.5 KiB");
  EXPECT_EQ(to_string(Bytes{2ULL << 30}), "2.0 GiB");
  EXPECT_EQ(to_string(Rate{118'000'000}), "118 MB/s");
  EXPECT_EQ(to_string(Milliseconds(18)), "18 ms");
  EXPECT_EQ(to_string(Milliseconds(1400)), "1.4 s");
  EXPECT_EQ(to_string(Milliseconds(200'000)), "3 min 20 s");
}

}  // namespace
}  // namespace vmigrate
