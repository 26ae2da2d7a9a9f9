#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"

namespace vmigrate::reduce {

/// What became of the pages. Every page is counted in `pages` and in one of the others.
struct PageCounters {
  std::uint64_t pages = 0;
  std::uint64_t zero = 0;
  std::uint64_t seen = 0;     ///< the destination held the same content already
  std::uint64_t delta = 0;    ///< sent as the difference to what the destination held
  std::uint64_t literal = 0;  ///< sent whole

  bool operator==(const PageCounters&) const = default;
};

/// A piece of the stream, reduced. See operations.hpp for what is in `bytes`.
struct Batch {
  ByteBuffer bytes;
  std::size_t original_bytes = 0;  ///< the length of the piece of QEMU's stream that this stands for
  PageCounters counters;
};

/// The largest piece of the stream that one batch may stand for.
inline constexpr std::size_t kMostOriginalBytes = std::size_t{4} << 20;

/// How long the batch of a piece of `original_bytes` can be. Records that do not repay their operations can
/// make it longer than the piece, and it may name every block of memory.
constexpr std::size_t most_batch_bytes(std::size_t original_bytes) {
  return 2 * original_bytes + (std::size_t{1} << 20) + 64;
}

}  // namespace vmigrate::reduce
