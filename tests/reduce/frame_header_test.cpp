#include "reduce/frame_header.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::reduce {
namespace {

constexpr FrameHeader kHeader{Method::zstd, 2, 1000, 5000, 1 << 20};

TEST(FrameHeader, ComesBack) {
  const auto parsed = parse_frame_header(encode(kHeader), 3);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, kHeader);
}

TEST(FrameHeader, IsOnTheWireAsPromised) {
  const auto bytes = encode(kHeader);
  const std::array<int, kFrameHeaderBytes> expected{3, 2, 0,    0,    0, 0,    3, 0xe8,
                                                    0, 0, 0x13, 0x88, 0, 0x10, 0, 0};
  for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(std::to_integer<int>(bytes[i]), expected[i]) << i;
}

void expect_refused(FrameHeader header, const std::string& why) {
  const auto parsed = parse_frame_header(encode(header), 3);
  ASSERT_FALSE(parsed) << why;
  EXPECT_NE(parsed.error().message.find(why), std::string::npos) << parsed.error().message;
}

TEST(FrameHeader, LimitsAreChecked) {
  expect_refused({Method{0}, 0, 4, 4, 0}, "method");
  expect_refused({Method{4}, 0, 4, 4, 0}, "method");
  expect_refused({Method::stored, 3, 4, 4, 0}, "track");
  expect_refused({Method::zstd, 0, 4, 4, kMostOriginalBytes + 1}, "too much");
  expect_refused({Method::zstd, 0, 4, 3, 0}, "that long");
  expect_refused({Method::zstd, 0, 4, most_batch_bytes(100) + 1, 100}, "that long");
  expect_refused({Method::zstd, 0, 2000, 1000, 1000}, "packed");
  expect_refused({Method::stored, 0, 999, 1000, 1000}, "packed");
  EXPECT_FALSE(parse_frame_header(ByteBuffer(kFrameHeaderBytes - 1), 3));
  auto reserved = encode(kHeader);
  reserved[3] = std::byte{1};
  EXPECT_FALSE(parse_frame_header(reserved, 3));
}

RC_GTEST_PROP(FrameHeader, WhatIsTakenIsWithinTheLimits, (const std::array<std::uint8_t, 16>& noise)) {
  auto bytes = noise;
  bytes[0] = 3, bytes[2] = 0, bytes[3] = 0, bytes[4] = 0, bytes[8] = 0, bytes[12] = 0;
  const auto parsed = parse_frame_header(std::as_bytes(std::span(bytes)), 256);
  if (!parsed) return;
  RC_ASSERT(parsed->original_bytes <= kMostOriginalBytes);
  RC_ASSERT(parsed->batch_bytes <= most_batch_bytes(kMostOriginalBytes));
  RC_ASSERT(parsed->packed_bytes <= 2 * most_batch_bytes(kMostOriginalBytes));
}

}  // namespace
}  // namespace vmigrate::reduce
