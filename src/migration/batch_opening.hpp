#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/units.hpp"
#include "reduce/memory_need.hpp"

namespace vmigrate::migration {

/// What the memory lane begins with, before the first batch: the sizes that both ends have to agree on, as
/// the source has chosen them. All numbers are big-endian:
///
///     version 8 (5), window log 8, zero 16, store pages 32
inline constexpr std::size_t kOpeningBytes = 8;

/// Within what both hosts spend on a migration, less what their sockets, queues and allocators take.
reduce::Sizes sizes_of_both(Bytes source, Bytes destination);

std::array<std::byte, kOpeningBytes> encode_opening(const reduce::Sizes& sizes);
/// Refuses what would take more than `budget` here, before any of it is taken.
Result<reduce::Sizes> parse_opening(ByteView bytes, Bytes budget);

}  // namespace vmigrate::migration
