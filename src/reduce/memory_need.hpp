#pragma once

#include <cstddef>
#include <cstdint>

namespace vmigrate::reduce {

/// What one migration is given, the same at both ends.
struct Sizes {
  std::size_t store_pages = 0;
  int window_log = 0;  ///< how far back zstd looks, as a power of two

  bool operator==(const Sizes&) const = default;
};

/// The largest batch that the sizes are reckoned with, in bytes of the stream. One may be larger; then it is
/// alone.
inline constexpr std::size_t kUsualBatch = std::size_t{1} << 20;

/// How many threads pack: more would want more memory than they are worth at any link that packing pays for.
inline constexpr int kMostWorkers = 4;

/// The most bytes that one end takes, with as many of zstd's workers as there may be. Little
/// of it is taken before it is used.
std::uint64_t memory_need(const Sizes& sizes);

/// The most useful sizes within `budget` bytes: zstd's window first, the rest for the store. Even a budget
/// of 0 gets the least that works, about 39 MiB.
Sizes sizes_within(std::uint64_t budget);

}  // namespace vmigrate::reduce
