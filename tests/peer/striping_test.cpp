#include "peer/striping.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::peer {
namespace {

using std::chrono::milliseconds;

constexpr BufferLimits kBuffers{std::size_t{4} << 20, std::size_t{6} << 20};
constexpr ConnectionLimits kLimits{2, 8};
constexpr unsigned kProcessors = 4;

TEST(Striping, ANearHostGetsTheLeastAndAFarOneMore) {
  EXPECT_EQ(connections_for(std::chrono::microseconds(200), kBuffers, kProcessors, kLimits), 2);
  EXPECT_EQ(connections_for(milliseconds(100), kBuffers, kProcessors, kLimits), 8);
}

TEST(Striping, LargeBuffersNeedFewerConnections) {
  const BufferLimits large{std::size_t{256} << 20, std::size_t{256} << 20};
  EXPECT_LT(connections_for(milliseconds(100), large, kProcessors, kLimits),
            connections_for(milliseconds(100), kBuffers, kProcessors, kLimits));
}

TEST(Striping, AnUnknownRoundTripOrNoBuffersDoNoHarm) {
  EXPECT_EQ(connections_for({}, kBuffers, kProcessors, kLimits), 2);
  EXPECT_EQ(connections_for(milliseconds(1), {}, 0, kLimits), 8);
}

RC_GTEST_PROP(Striping, IsWithinTheLimitsAndGrowsWithTheRoundTrip, (std::uint32_t a, std::uint32_t b)) {
  const ConnectionLimits limits{*rc::gen::inRange(1, 4), *rc::gen::inRange(4, 32)};
  const BufferLimits buffers{*rc::gen::arbitrary<std::size_t>(), *rc::gen::arbitrary<std::size_t>()};
  const auto processors = *rc::gen::arbitrary<unsigned>();
  const auto number = [&](std::uint32_t microseconds) {
    return connections_for(std::chrono::microseconds(microseconds), buffers, processors, limits);
  };
  const int near = number(std::min(a, b));
  const int far = number(std::max(a, b));
  RC_ASSERT(limits.least <= near);
  RC_ASSERT(near <= far);
  RC_ASSERT(far <= limits.most);
}

}  // namespace
}  // namespace vmigrate::peer
