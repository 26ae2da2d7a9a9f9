#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "reduce/batch.hpp"
#include "reduce/method.hpp"

namespace vmigrate::reduce {

/// What stands before a packed batch on the wire. All numbers are big-endian:
///
///     method 8, track 8, zero 16, packed bytes 32, batch bytes 32, original bytes 32
struct FrameHeader {
  Method method = Method::stored;
  std::uint8_t track = 0;
  std::uint32_t packed_bytes = 0;    ///< that follow
  std::uint32_t batch_bytes = 0;     ///< after unpacking
  std::uint32_t original_bytes = 0;  ///< of the stream, after restoring

  bool operator==(const FrameHeader&) const = default;
};

inline constexpr std::size_t kFrameHeaderBytes = 16;

std::array<std::byte, kFrameHeaderBytes> encode(const FrameHeader& header);
/// Refuses everything that no writer could mean, so that the sizes may be trusted to be within
/// most_batch_bytes(kMostOriginalBytes). `tracks` is their number.
Result<FrameHeader> parse_frame_header(ByteView bytes, std::size_t tracks);

}  // namespace vmigrate::reduce
