#include "reduce/frame_header.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::reduce {
namespace {

constexpr FrameHeader kFrame{Method::zstd_far, 1000};
constexpr BatchHeader kBatch{5000, 1 << 20};

TEST(FrameHeader, BothComeBack) {
  EXPECT_EQ(*parse_frame_header(encode(kFrame)), kFrame);
  EXPECT_EQ(*parse_batch_header(encode(kBatch)), kBatch);
}

void expect_bytes(ByteView bytes, const std::array<int, kHeaderBytes>& expected) {
  for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(std::to_integer<int>(bytes[i]), expected[i]) << i;
}

TEST(FrameHeader, IsOnTheWireAsPromised) {
  expect_bytes(encode(kFrame), {3, 0, 0, 0, 0, 0, 3, 0xe8});
  expect_bytes(encode(kBatch), {0, 0, 0x13, 0x88, 0, 0x10, 0, 0});
}

template <class Header>
void expect_refused(const Result<Header>& parsed, const std::string& why) {
  ASSERT_FALSE(parsed) << why;
  EXPECT_NE(parsed.error().message.find(why), std::string::npos) << parsed.error().message;
}

TEST(FrameHeader, LimitsAreChecked) {
  expect_refused(parse_frame_header(encode(FrameHeader{Method{0}, 4})), "method");
  expect_refused(parse_frame_header(encode(FrameHeader{Method{2}, 4})), "method");
  expect_refused(parse_frame_header(encode(FrameHeader{Method{7}, 4})), "method");
  expect_refused(parse_frame_header(encode(FrameHeader{Method::zstd_far, 0})), "that long");
  expect_refused(parse_frame_header(encode(FrameHeader{Method::zstd_far, kMostFrameBytes + 1})), "that long");
  expect_refused(parse_batch_header(encode(BatchHeader{4, kMostOriginalBytes + 1})), "too much");
  expect_refused(parse_batch_header(encode(BatchHeader{3, 0})), "that long");
  expect_refused(parse_batch_header(encode(BatchHeader{most_batch_bytes(100) + 1, 100})), "that long");
  EXPECT_FALSE(parse_frame_header(ByteBuffer(kHeaderBytes - 1)));
  EXPECT_FALSE(parse_batch_header(ByteBuffer(kHeaderBytes + 1)));
  auto reserved = encode(kFrame);
  reserved[3] = std::byte{1};
  expect_refused(parse_frame_header(reserved), "more than is known");
}

RC_GTEST_PROP(FrameHeader, WhatIsTakenIsWithinTheLimits, (std::array<std::uint8_t, kHeaderBytes> bytes)) {
  if (const auto frame = parse_frame_header(std::as_bytes(std::span(bytes)))) {
    RC_ASSERT(frame->bytes <= kMostFrameBytes);
  }
  bytes[0] = bytes[4] = 0;
  if (const auto batch = parse_batch_header(std::as_bytes(std::span(bytes)))) {
    RC_ASSERT(batch->original_bytes <= kMostOriginalBytes);
    RC_ASSERT(batch->batch_bytes <= most_batch_bytes(kMostOriginalBytes));
  }
}

}  // namespace
}  // namespace vmigrate::reduce
