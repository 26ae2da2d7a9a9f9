#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "../stream/sample_stream.hpp"
#include "pages.hpp"
#include "stream/decoder.hpp"

namespace vmigrate::reduce {
namespace {

/// What a page may hold: the same contents come again and again, whole or with a few words changed.
ByteBuffer any_page() {
  const auto seed = *rc::gen::inRange<std::uint64_t>(0, 5);
  ByteBuffer page = *rc::gen::arbitrary<bool>() ? noise_page(seed) : array_page(seed);
  const auto changes = *rc::gen::inRange(0, 4);
  for (int i = 0; i < changes; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, kPageSize);
    const auto size = std::min(kPageSize - at, *rc::gen::element<std::size_t>(1, 8, 64, 700, kPageSize));
    const auto value = *rc::gen::arbitrary<std::uint8_t>();
    std::memset(page.data() + at, value, size);
  }
  return page;
}

PagePlace any_place(const std::vector<RamBlock>& blocks) {
  const auto block = *rc::gen::inRange<std::size_t>(0, blocks.size());
  const auto page = *rc::gen::weightedOneOf<std::uint64_t>(
      {{20, rc::gen::inRange<std::uint64_t>(0, 8)},
       {1, rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 52)}});
  return {block, page * kPageSize, *rc::gen::inRange(0, 4) == 0};
}

/// A record, or a run of them as a pass over memory gives it.
void add_any_record(BothEnds& ends, std::vector<RamBlock>& blocks) {
  const auto kind = *rc::gen::inRange(0, 12);
  if (kind == 0) {
    blocks = {{std::string(*rc::gen::inRange<std::size_t>(0, 256), 'n'), 0}, {"pc.ram", 0}, {"rom", 0}};
    ends.block_table(blocks);
  } else if (kind <= 2) {
    const auto bytes = *rc::gen::arbitrary<std::vector<std::uint8_t>>();
    ends.opaque(std::as_bytes(std::span(bytes)));
    if (kind == 2) ends.delta_page(any_place(blocks));
  } else if (kind <= 4) {
    auto place = any_place(blocks);
    const int fills = *rc::gen::element(1, 1, 2);
    for (auto left = *rc::gen::inRange(1, 20); left > 0; --left) {
      ends.zero_page(place, static_cast<std::byte>(left % fills));
      place = {place.block, (place.offset / kPageSize + 1) % (std::uint64_t{1} << 52) * kPageSize, false};
    }
  } else if (kind <= 6) {
    ends.writer.went_as_it_is(any_place(blocks));
  } else {
    auto place = any_place(blocks);
    for (auto left = *rc::gen::inRange(1, 6); left > 0; --left) {
      ends.page(place, any_page());
      place = {place.block, (place.offset / kPageSize + 1) % (std::uint64_t{1} << 52) * kPageSize, false};
    }
  }
}

RC_GTEST_PROP(Batch, AnyRecordsAreRestored, ()) {
  BothEnds ends(*rc::gen::element<std::size_t>(0, 1, 3, 8, 1000));
  std::vector<RamBlock> blocks{{"pc.ram", 1 << 20}, {"/rom@etc/acpi", 4096}};
  ends.block_table(blocks);
  const auto batches = *rc::gen::inRange(1, 8);
  for (int batch = 0; batch < batches; ++batch) {
    for (auto left = *rc::gen::inRange(0, 25); left > 0; --left) add_any_record(ends, blocks);
    RC_ASSERT(ends.exchange());
    const PageCounters& counted = ends.last.counters;
    RC_ASSERT(counted.pages == counted.zero + counted.seen + counted.delta + counted.literal);
  }
}

TEST(Batch, SampleStreamIsRestoredHoweverItIsCut) {
  const auto sample = stream::sample_stream();
  for (std::size_t piece = 1; piece < sample.size() + 7; piece += 7) {
    for (const auto store_pages : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
      BothEnds ends(store_pages);
      stream::Decoder decoder;
      for (std::size_t at = 0; at < sample.size(); at += piece) {
        decoder.feed(ByteView(sample).subspan(at, std::min(piece, sample.size() - at)), ends);
        ASSERT_TRUE(ends.exchange()) << piece << " " << store_pages << " " << at;
      }
      decoder.finish(ends);
      ASSERT_TRUE(ends.exchange());
    }
  }
}

TEST(Batch, OpaqueStreamIsRestored) {
  BothEnds ends(10);
  stream::Decoder decoder;
  decoder.feed(as_byte_view("no stream of QEMU's at all"), ends);
  ASSERT_TRUE(decoder.is_opaque());
  decoder.feed(noise_page(1), ends);
  EXPECT_TRUE(ends.exchange());
  EXPECT_EQ(ends.last.counters, PageCounters{});
}

TEST(Batch, CountsWhatBecameOfPages) {
  BothEnds ends(10);
  auto content = noise_page(1);
  ends.page(place_of(0), content);
  ends.page(place_of(1), content);
  ends.zero_page(place_of(2), std::byte{});
  ends.page(place_of(3), noise_page(2));
  content[5] = std::byte{1};
  ends.page(place_of(0), content);
  ASSERT_TRUE(ends.exchange());
  const PageCounters expected{.pages = 5, .zero = 1, .seen = 1, .delta = 1, .literal = 2};
  EXPECT_EQ(ends.last.counters, expected);
  ASSERT_TRUE(ends.exchange());
  EXPECT_EQ(ends.last.counters, PageCounters{});
}

TEST(Batch, EmptyOneIsRestored) {
  BothEnds ends(3);
  EXPECT_TRUE(ends.exchange());
  EXPECT_EQ(ends.last.bytes.size(), 1 + kTrailerBytes);
}

}  // namespace
}  // namespace vmigrate::reduce
