#include "stream/decoder.hpp"

#include <random>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "recorder.hpp"
#include "sample_stream.hpp"

namespace vmigrate::stream {
namespace {

const std::vector<std::string> kSampleLog{"blocks",     "page 0:0 a", "zero 0:1",   "page 0:2 b",
                                          "zero 0:3",   "page 1:0 r", "page 0:1 c", "delta 0:2",
                                          "last pages", "page 0:0 d", "zero 0:1",   "ram end"};

TEST(Decoder, FindsEveryRecord) {
  Decoder decoder;
  const auto stream = sample_stream();
  const auto result = decode_in_pieces(stream, decoder, [&] { return stream.size(); });
  EXPECT_EQ(result.log, kSampleLog);
  EXPECT_EQ(result.table.at(0).name, "pc.ram");
  EXPECT_EQ(result.table.at(0).size, 4 * kPageSize);
  EXPECT_EQ(result.statistics.pages(), 5U);
  EXPECT_EQ(result.statistics.zero_pages(), 3U);
  EXPECT_EQ(result.statistics.delta_pages(), 1U);
  EXPECT_EQ(result.statistics.passes(), 3U);
  EXPECT_TRUE(result.statistics.vcpus_stopped());
  EXPECT_TRUE(result.statistics.ram_ended());
  EXPECT_EQ(decoder.opaque_reason(), "");
}

TEST(Decoder, WhatComesOutIsWhatWentIn) {
  const auto stream = sample_stream();
  EXPECT_EQ(decode_whole(stream).encoder.output(), stream);
}

TEST(Decoder, EverySplitGivesTheSame) {
  const auto stream = sample_stream();
  for (std::size_t split = 0; split <= stream.size(); ++split) {
    bool first = true;
    Decoder decoder;
    const auto result = decode_in_pieces(
        stream, decoder, [&] { return std::exchange(first, false) && split > 0 ? split : stream.size(); });
    ASSERT_EQ(result.encoder.output(), stream) << split;
    ASSERT_EQ(result.log, kSampleLog) << split;
  }
  Decoder decoder;
  EXPECT_EQ(decode_in_pieces(stream, decoder, [] { return std::size_t{1}; }).log, kSampleLog);
}

TEST(Decoder, EveryTruncationStillComesOut) {
  const auto stream = sample_stream();
  for (std::size_t size = 0; size < stream.size(); ++size) {
    const ByteView part(stream.data(), size);
    ASSERT_EQ(decode_whole(part).encoder.output(), copy_of(part)) << size;
  }
}

TEST(Decoder, FlippedBitsStillComeOut) {
  const auto stream = sample_stream();
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    auto broken = stream;
    for (auto flips = random() % 3 + 1; flips > 0; --flips) {
      broken[random() % broken.size()] ^= static_cast<std::byte>(1U << random() % 8);
    }
    Decoder decoder;
    const auto result = decode_in_pieces(broken, decoder, [&] { return random() % 9000; });
    ASSERT_EQ(result.encoder.output(), broken) << round;
  }
}

RC_GTEST_PROP(Decoder, NoiseComesOutAsItIs, (const std::vector<std::uint8_t>& noise, bool after_head)) {
  StreamWriter writer;
  if (after_head) writer.head();
  for (const auto byte : noise) writer.number(byte, 1);
  RC_ASSERT(decode_whole(writer.out).encoder.output() == writer.out);
}

RC_GTEST_PROP(Decoder, AnyPagesInAnyPiecesComeOut, ()) {
  StreamWriter w;
  w.head()
      .configuration("pc")
      .section_start(3, "ram", kRamVersion)
      .number(64 * kPageSize | kRamMemorySize, 8);
  w.short_string("pc.ram").number(64 * kPageSize, 8).end_of_section(3);
  w.section(kSectionPart, 3).zero_page(0, "pc.ram");
  const auto kinds = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
  for (const int kind : kinds) {
    const auto offset = *rc::gen::inRange<std::uint64_t>(0, 64) * kPageSize;
    if (kind == 0) w.page(offset, "", *rc::gen::arbitrary<char>());
    if (kind == 1) w.page(offset, "pc.ram", *rc::gen::arbitrary<char>());
    if (kind == 2) w.zero_page(offset);
    if (kind == 3) w.end_of_section(3).section(kSectionPart, 3);
  }
  const auto piece = *rc::gen::inRange<std::size_t>(1, 10'000);
  Decoder decoder;
  const auto result = decode_in_pieces(w.out, decoder, [&] { return piece; });
  RC_ASSERT(result.encoder.output() == w.out);
  RC_ASSERT(decoder.opaque_reason().empty());
  const auto pages = std::count_if(kinds.begin(), kinds.end(), [](int kind) { return kind != 3; });
  RC_ASSERT(result.statistics.guest_bytes() == static_cast<std::uint64_t>(pages + 1) * kPageSize);
}

/// Streams that are not understood: why, and that they come out all the same.
void expect_opaque(const StreamWriter& writer, const std::string& reason) {
  Decoder decoder;
  auto stream = writer.out;
  stream.insert(stream.end(), 5000, std::byte{42});
  const auto result = decode_in_pieces(stream, decoder, [&] { return stream.size(); });
  EXPECT_TRUE(decoder.is_opaque());
  EXPECT_NE(decoder.opaque_reason().find(reason), std::string::npos) << decoder.opaque_reason();
  EXPECT_EQ(result.encoder.output(), stream);
}

StreamWriter stream_until_ram() {
  StreamWriter w;
  w.head().configuration("pc").section_start(2, "ram", kRamVersion).number(kPageSize | kRamMemorySize, 8);
  w.short_string("pc.ram").number(kPageSize, 8);
  return w;
}

TEST(Decoder, SaysWhyItGaveUp) {
  expect_opaque(StreamWriter().text("GET / HTTP/1.1\r\n"), "does not begin");
  expect_opaque(StreamWriter().head().configuration(std::string(300, 'x')), "too long");
  expect_opaque(StreamWriter().head().section_start(1, "dirty-bitmap", 1), "'dirty-bitmap'");
  expect_opaque(StreamWriter().head().section_start(1, "ram", 5), "'ram' version 5");
  expect_opaque(StreamWriter().head().section(kSubsection, 3), "0x05");
  expect_opaque(StreamWriter().head().section(kSectionFull, 3).short_string("0000:00:03.0/virtio-mem"),
                "'0000:00:03.0/virtio-mem'");
  expect_opaque(
      StreamWriter().head().section(kSectionFull, 3).short_string("vmigrate/x").number(1, 8).number(0, 4),
      "does not end");
  expect_opaque(StreamWriter().head().section(kSectionPart, 3), "did not begin");
  expect_opaque(StreamWriter().head().number(kCommand, 1).number(7, 2).number(4, 2).number(9, 4),
                "command 7");
  expect_opaque(stream_until_ram().page(0, "vga.vram", 'x'), "'vga.vram'");
  expect_opaque(stream_until_ram().page(kPageSize, "pc.ram", 'x'), "outside its block");
  expect_opaque(stream_until_ram().page(0, "", 'x'), "outside its block");
  expect_opaque(stream_until_ram().number(0x100 | kRamContinue, 8), "flags 0x120");
  expect_opaque(stream_until_ram().number(kRamEndOfSection, 8).number(kSectionFooter, 1).number(9, 4),
                "does not end");
  expect_opaque(stream_until_ram().number(kPageSize | kRamMemorySize, 8), "out of place");
}

TEST(Decoder, ABlockListThatDoesNotAddUpIsNotBelieved) {
  StreamWriter w;
  w.head().section_start(2, "ram", kRamVersion).number(kPageSize | kRamMemorySize, 8);
  w.short_string("pc.ram").number(2 * kPageSize, 8);
  expect_opaque(w, "does not add up");
}

TEST(Decoder, HoldsBackNoMoreThanAPageWhateverIsClaimed) {
  StreamWriter w;
  w.head().number(kConfiguration, 1).number(0xffffffff, 4);
  Decoder decoder;
  Recorder recorder;
  decoder.feed(w.out, recorder);
  std::size_t fed = w.out.size();
  for (int i = 0; i < 100; ++i) {
    const ByteBuffer chunk(100, std::byte{65});
    decoder.feed(chunk, recorder);
    fed += chunk.size();
    ASSERT_LE(fed - recorder.encoder.output().size(), 8 + 256 + kPageSize);
  }
  EXPECT_EQ(recorder.encoder.output().size(), fed);
}

}  // namespace
}  // namespace vmigrate::stream
