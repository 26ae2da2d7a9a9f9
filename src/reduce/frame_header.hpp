#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "reduce/batch.hpp"
#include "reduce/method.hpp"

namespace vmigrate::reduce {

// Both have 8 bytes, their numbers big-endian. What is on the wire stands behind a FrameHeader. Batches, each
// behind its BatchHeader, that are stored or packed with zstd are one stream of bytes, of which a frame holds
// a piece, however it is cut. The other frames hold one batch each, or none: see Method.

///     method 8, zero 24, bytes 32
struct FrameHeader {
  Method method = Method::stored;
  std::uint32_t bytes = 0;  ///< that follow

  bool operator==(const FrameHeader&) const = default;
};

///     batch bytes 32, original bytes 32
struct BatchHeader {
  std::uint32_t batch_bytes = 0;     ///< that follow
  std::uint32_t original_bytes = 0;  ///< of the stream, after restoring

  bool operator==(const BatchHeader&) const = default;
};

inline constexpr std::size_t kHeaderBytes = 8;

/// The longest piece in a frame.
inline constexpr std::size_t kMostFrameBytes = std::size_t{16} << 20;

std::array<std::byte, kHeaderBytes> encode(const FrameHeader& header);
std::array<std::byte, kHeaderBytes> encode(const BatchHeader& header);

// These refuse everything that no writer could mean.
Result<FrameHeader> parse_frame_header(ByteView bytes);
/// The sizes may be trusted to be within most_batch_bytes(kMostOriginalBytes).
Result<BatchHeader> parse_batch_header(ByteView bytes);

}  // namespace vmigrate::reduce
