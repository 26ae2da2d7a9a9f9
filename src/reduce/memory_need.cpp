#include "reduce/memory_need.hpp"

#include <algorithm>

#include "reduce/batch.hpp"
#include "reduce/method.hpp"
#include "stream/format.hpp"

namespace vmigrate::reduce {
namespace {

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;
constexpr std::uint64_t kMostBatchBytes = most_batch_bytes(kMostOriginalBytes);

// Places and contents of the slots, and the two indexes with at most 16 bytes a slot each and a line at
// least.
constexpr std::uint64_t kSlotBytes = 24 + 2 * 16;

std::uint64_t window_bytes(const Sizes& sizes) {
  return std::uint64_t{1} << std::clamp(sizes.window_log, kLowestWindowLog, kHighestWindowLog);
}

}  // namespace

std::uint64_t source_memory_need(const Sizes& sizes) {
  const std::uint64_t store = sizes.store_pages * (stream::kPageSize + kSlotBytes);
  // zstd keeps the window, a table of one entry of 8 bytes for each 128 of it, and what the level asks for:
  // 40 MiB at kHighestLevel, a twentieth of it at level 1.
  const std::uint64_t track = window_bytes(sizes) + window_bytes(sizes) / 16 + 40 * kMebibyte;
  return store + kMostBatchBytes + sizes.tracks * (track + 3 * kMostBatchBytes);
}

std::uint64_t destination_memory_need(const Sizes& sizes) {
  const std::uint64_t store = sizes.store_pages * (stream::kPageSize + 1);
  const std::uint64_t track = window_bytes(sizes) + kMebibyte;
  return store + kMostOriginalBytes + sizes.tracks * (track + 2 * kMostBatchBytes);
}

}  // namespace vmigrate::reduce
