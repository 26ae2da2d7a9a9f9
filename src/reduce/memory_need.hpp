#pragma once

#include <cstddef>
#include <cstdint>

namespace vmigrate::reduce {

/// What one migration is given at both ends.
struct Sizes {
  std::size_t store_pages = 0;
  std::size_t tracks = 0;
  int window_log = 0;
};

/// The most bytes that the parts of this module take for it, with batches of kMostOriginalBytes in work in
/// each track. Batches that wait in queues are not among them.
std::uint64_t source_memory_need(const Sizes& sizes);
std::uint64_t destination_memory_need(const Sizes& sizes);

}  // namespace vmigrate::reduce
