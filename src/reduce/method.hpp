#pragma once

#include <cstdint>

namespace vmigrate::reduce {

/// What is in a frame, and how it is packed. The numbers are on the wire and never change.
enum class Method : std::uint8_t {
  stored = 1,
  zstd_far = 3,   ///< all pieces that are packed so are one long zstd stream
  zstd_near = 4,  ///< likewise another, which looks back less far
  lz4 = 5,        ///< one batch: its header, then an LZ4 block
  as_it_is = 6,   ///< no batch at all: a piece of QEMU's stream
};

/// How far back zstd looks, as a power of two: from a megabyte to all that a 64-bit zstd can.
inline constexpr int kLowestWindowLog = 20;
inline constexpr int kHighestWindowLog = 31;
/// The same of Method::zstd_near: packers that are in a hurry look no further anyway.
inline constexpr int kNearWindowLog = 20;

}  // namespace vmigrate::reduce
