#include "reduce/memory_need.hpp"

#include <algorithm>

#include "reduce/compressor.hpp"
#include "reduce/method.hpp"
#include "stream/format.hpp"

namespace vmigrate::reduce {
namespace {

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

// Places and contents of the slots, and the two indexes with at most 16 bytes a slot each and a line at
// least.
constexpr std::uint64_t kSlotBytes = stream::kPageSize + 24 + std::uint64_t{2} * 16;
// One that is written or restored, one in work, one that waits; one that is packed with LZ4.
constexpr std::uint64_t kBatches = 4 * kUsualBatch * 5 / 4;
// The tables of zstd's workers, their pieces and what they have made of them.
constexpr std::uint64_t kWorkerBytes = 4 * kMebibyte;

// What looks back no further has small tables.
constexpr std::uint64_t kNearNeed =
    (std::uint64_t{1} << kNearWindowLog) + kMostWorkers * (3 * kMebibyte) + kMebibyte;

std::uint64_t zstd_need(int window_log) {
  const std::uint64_t window = std::uint64_t{1} << window_log;
  // The window, and a table of one entry of 8 bytes for each place that is remembered.
  return window + (window >> kSpacingLog) * 8 + kMostWorkers * kWorkerBytes + kNearNeed;
}

}  // namespace

std::uint64_t memory_need(const Sizes& sizes) {
  return sizes.store_pages * kSlotBytes + kBatches +
         zstd_need(std::clamp(sizes.window_log, kLowestWindowLog, kHighestWindowLog));
}

Sizes sizes_within(std::uint64_t budget) {
  Sizes sizes{0, kLowestWindowLog};
  // zstd's window finds what is alike anywhere; the store knows whole pages and their older versions.
  while (sizes.window_log < kHighestWindowLog && memory_need({0, sizes.window_log + 1}) <= budget / 3 * 2) {
    ++sizes.window_log;
  }
  const auto taken = memory_need(sizes);
  if (budget > taken) sizes.store_pages = (budget - taken) / kSlotBytes;
  return sizes;
}

}  // namespace vmigrate::reduce
