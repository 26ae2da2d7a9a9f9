#pragma once

#include <atomic>
#include <cstddef>

namespace vmigrate::peer {

/// The largest block of memory that anything in this program has asked for since a test set it to 0.
extern std::atomic<std::size_t> largest_block;

}  // namespace vmigrate::peer
