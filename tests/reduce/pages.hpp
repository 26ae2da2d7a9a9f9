#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "reduce/batch_reader.hpp"
#include "reduce/batch_writer.hpp"
#include "stream/encoder.hpp"

namespace vmigrate::reduce {

using stream::PagePlace;
using stream::RamBlock;

inline PagePlace place_of(std::uint64_t page, std::size_t block = 0) {
  return {block, page * kPageSize, false};
}

/// A page like no other: noise made from `seed`.
inline ByteBuffer noise_page(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  ByteBuffer page(kPageSize);
  for (std::size_t at = 0; at < page.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(page.data() + at, &word, sizeof(word));
  }
  return page;
}

/// A page of structures as kernels and allocators have them: two pointers, a counter, and what is the same in
/// all.
inline ByteBuffer array_page(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  ByteBuffer page(kPageSize);
  for (std::size_t at = 0; at < page.size(); at += 4 * sizeof(std::uint64_t)) {
    const auto pointer = [&] { return 0x0000'7f3a'0000'0000 | random() % (1U << 28) << 4; };
    const std::array<std::uint64_t, 4> words{pointer(), pointer(), at / 32, 0x0001'0203'0405'0607};
    std::memcpy(page.data() + at, words.data(), sizeof(words));
  }
  return page;
}

/// Both ends, and beside them the stream as it was.
class BothEnds : public stream::RecordSink {
 public:
  explicit BothEnds(std::size_t store_pages) : writer(store_pages), reader(store_pages) {}

  void opaque(ByteView bytes) override { writer.opaque(bytes), original.opaque(bytes); }
  void block_table(const std::vector<RamBlock>& blocks) override {
    writer.block_table(blocks), original.block_table(blocks);
  }
  void page(const PagePlace& place, ByteView content) override {
    writer.page(place, content), original.page(place, content);
  }
  void zero_page(const PagePlace& place, std::byte fill) override {
    writer.zero_page(place, fill), original.zero_page(place, fill);
  }
  void delta_page(const PagePlace& place) override { writer.delta_page(place); }
  void last_pages() override { writer.last_pages(); }
  void ram_end() override { writer.ram_end(); }

  /// Takes the batch across. False unless the stream is there again.
  bool exchange() {
    last = writer.take();
    const ByteBuffer wanted = original.take_output();
    const auto restored = reader.restore(last.bytes, last.original_bytes);
    return restored && *restored == wanted && last.original_bytes == wanted.size() &&
           last.bytes.size() <= most_batch_bytes(last.original_bytes);
  }

  BatchWriter writer;
  BatchReader reader;
  stream::Encoder original;
  Batch last;
};

}  // namespace vmigrate::reduce
