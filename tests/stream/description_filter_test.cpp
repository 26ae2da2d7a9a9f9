#include "stream/description_filter.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::stream {
namespace {

ByteBuffer description(const std::string& text) {
  ByteBuffer result{std::byte{0}, std::byte{6}};
  for (int shift = 24; shift >= 0; shift -= 8)
    result.push_back(static_cast<std::byte>(text.size() >> shift & 0xff));
  for (const auto byte : as_byte_view(text)) result.push_back(byte);
  return result;
}

ByteBuffer operator+(ByteBuffer left, const ByteBuffer& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

const ByteBuffer kState = copy_of(as_byte_view("the devices' state"));

TEST(DescriptionFilter, ReplacesTheDescriptionWhereverTheStreamIsCut) {
  const auto stream = kState + description(R"({"page_size": 4096, "devices": [{"name": "\u0000"}]})");
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    DescriptionFilter filter;
    ByteBuffer out;
    filter.feed(ByteView(stream).first(cut), out);
    EXPECT_EQ(filter.is_complete(), cut == stream.size());
    filter.feed(ByteView(stream).subspan(cut), out);
    EXPECT_TRUE(filter.is_complete());
    EXPECT_FALSE(filter.is_holding());
    EXPECT_EQ(out, kState + description("{}"));
  }
}

TEST(DescriptionFilter, IsNotMisledByWhatOnlyLooksLikeOne) {
  const auto end = description(R"({"devices": []})");
  const ByteBuffer begins_larger_one{std::byte{0}, std::byte{6}, std::byte{0},  std::byte{1},
                                     std::byte{0}, std::byte{0}, std::byte{'{'}};
  const ByteBuffer beyond_any_limit{std::byte{0},    std::byte{6},    std::byte{0x7f}, std::byte{0xff},
                                    std::byte{0xff}, std::byte{0xff}, std::byte{'{'}};
  for (const auto& decoy : {description(R"({"a": 1})"), description("{not json}"), begins_larger_one,
                            beyond_any_limit, ByteBuffer{std::byte{0}, std::byte{6}}}) {
    const auto before = kState + decoy + kState;
    DescriptionFilter filter;
    ByteBuffer out;
    filter.feed(before + end, out);
    EXPECT_TRUE(filter.is_complete());
    EXPECT_EQ(out, before + description("{}"));
  }
}

TEST(DescriptionFilter, GivesBackWhatNeverCompletes) {
  const auto stream = kState + ByteBuffer{std::byte{0}, std::byte{6}, std::byte{0},   std::byte{0},
                                          std::byte{1}, std::byte{0}, std::byte{'{'}, std::byte{'"'}};
  DescriptionFilter filter;
  ByteBuffer out;
  filter.feed(stream, out);
  EXPECT_EQ(out, kState);
  EXPECT_TRUE(filter.is_holding());
  filter.release(out);
  EXPECT_EQ(out, stream);
  EXPECT_FALSE(filter.is_complete());
}

RC_GTEST_PROP(DescriptionFilter, OfOtherBytesNothingIsLost,
              (const std::vector<std::vector<std::uint8_t>>& pieces)) {
  DescriptionFilter filter;
  ByteBuffer in;
  ByteBuffer out;
  for (const auto& piece : pieces) {
    const auto bytes = std::as_bytes(std::span(piece));
    in.insert(in.end(), bytes.begin(), bytes.end());
    filter.feed(bytes, out);
  }
  filter.release(out);
  RC_ASSERT(in == out);
}

}  // namespace
}  // namespace vmigrate::stream
