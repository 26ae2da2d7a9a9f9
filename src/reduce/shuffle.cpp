#include "reduce/shuffle.hpp"

#include <cstdint>
#include <cstring>

#include "stream/format.hpp"

namespace vmigrate::reduce {
namespace {

using stream::kPageSize;

constexpr std::size_t kElements = kPageSize / kShuffledElement;
// A cache line holds whole structures of the usual sizes: their bytes are compared with the last line's. Of
// every four lines one is looked at.
constexpr std::size_t kLine = 64;
constexpr std::size_t kLookedAt = 4;
// A byte that is the same, and not zero, in at least one place of five. Measured: with 16% or 27% of the
// places a Debian guest's memory becomes 0.5% or 0.9% larger than with 21%.
constexpr std::size_t kEnough = kPageSize / kLookedAt / 5;

std::uint64_t word_at(ByteView page, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, page.data() + at, sizeof word);
  return word;
}

/// The highest bit of each byte that is zero. No byte's sum reaches the next one.
constexpr std::uint64_t zero_bytes(std::uint64_t word) {
  constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  return ~(((word & kLow) + kLow) | word | kLow);
}

constexpr std::size_t count_highest_bits(std::uint64_t bits) {
  return (bits >> 7) * 0x0101010101010101 >> 56;
}

}  // namespace

bool is_worth_shuffling(ByteView page) {
  std::size_t same = 0;
  for (std::size_t line = kLine; line < kPageSize; line += kLookedAt * kLine) {
    for (std::size_t at = line; at < line + kLine; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = word_at(page, at);
      same += count_highest_bits(zero_bytes(word ^ word_at(page, at - kLine)) & ~zero_bytes(word));
    }
  }
  return same >= kEnough;
}

void append_shuffled(ByteView page, ByteBuffer& out) {
  const std::size_t begin = out.size();
  out.resize(begin + kPageSize);
  std::byte* to = out.data() + begin;
  for (std::size_t place = 0; place < kShuffledElement; ++place) {
    for (std::size_t element = 0; element < kElements; ++element)
      *to++ = page[element * kShuffledElement + place];
  }
}

void unshuffle(ByteView shuffled, std::span<std::byte> page) {
  const std::byte* from = shuffled.data();
  for (std::size_t place = 0; place < kShuffledElement; ++place) {
    for (std::size_t element = 0; element < kElements; ++element)
      page[element * kShuffledElement + place] = *from++;
  }
}

}  // namespace vmigrate::reduce
