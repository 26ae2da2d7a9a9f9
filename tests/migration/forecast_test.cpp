#include "migration/forecast.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::migration {
namespace {

constexpr Rate kMegabyte{1'000'000};
constexpr Rate megabytes(std::uint64_t count) {
  return {count * kMegabyte.bytes_per_second};
}

TEST(Forecast, AnIdleGuestConverges) {
  EXPECT_TRUE(converges(megabytes(1), {}));
  EXPECT_TRUE(converges({}, {}));
}

TEST(Forecast, AGuestThatDirtiesAsFastAsItMovesDoesNot) {
  EXPECT_FALSE(converges(megabytes(100), megabytes(100)));
  EXPECT_FALSE(converges(megabytes(100), megabytes(95)));
  EXPECT_TRUE(converges(megabytes(100), megabytes(80)));
}

TEST(Forecast, TimeLeftIsTheExcessOverThePauseAtTheNetRate) {
  // 1100 MB remain, 100 MB fit into one second of pause, and 50 MB/s net go.
  EXPECT_EQ(time_to_switchover({1'100'000'000}, megabytes(100), megabytes(50), Milliseconds(1000)),
            Milliseconds(20'000));
  EXPECT_EQ(time_to_switchover({1'000'000}, megabytes(100), megabytes(500), Milliseconds(300)),
            Milliseconds(0));
  EXPECT_EQ(time_to_switchover({1'000'000'000}, megabytes(100), megabytes(100), Milliseconds(300)),
            std::nullopt);
  EXPECT_EQ(time_to_switchover({1}, {}, {}, Milliseconds(300)), std::nullopt);
}

RC_GTEST_PROP(Forecast, MoreDirtNeverShortensTheWay,
              (std::uint32_t remaining, std::uint32_t moved, std::uint32_t a, std::uint32_t b)) {
  const Bytes bytes{std::uint64_t{remaining} * 1000};
  const auto less = time_to_switchover(bytes, {moved}, {std::min(a, b)}, Milliseconds(300));
  const auto more = time_to_switchover(bytes, {moved}, {std::max(a, b)}, Milliseconds(300));
  if (!less) RC_ASSERT(!more);
  if (less && more) RC_ASSERT(*less <= *more);
}

RC_GTEST_PROP(Forecast, NothingOverflows,
              (std::uint64_t remaining, std::uint64_t moved, std::uint64_t dirtied)) {
  const auto left = time_to_switchover({remaining}, {moved}, {dirtied}, Milliseconds(300));
  if (left) RC_ASSERT(left->count() >= 0 && *left <= std::chrono::hours(24));
}

}  // namespace
}  // namespace vmigrate::migration
