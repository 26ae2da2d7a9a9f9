#pragma once

#include <cstdint>

#include "peer/session.hpp"

/// What goes over a bulk connection, as docs/protocol.md draws it: chunks, each with a head of its number and
/// its length.
namespace vmigrate::peer {

inline constexpr std::size_t kChunkHead = BulkSender::kHeadRoom;
/// A head with this number and no length is a sign of life.
inline constexpr std::uint64_t kSignOfLife = UINT64_MAX;
/// The other way goes the count of chunks that have come in.
inline constexpr std::size_t kAcknowledgement = 8;

inline void put_number(std::byte* to, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i, value >>= 8) to[i] = static_cast<std::byte>(value & 0xff);
}

inline std::uint64_t take_number(ByteView from) {
  std::uint64_t value = 0;
  for (const std::byte byte : from) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

inline void put_head(std::byte* to, std::uint64_t number, std::size_t bytes) {
  put_number(to, number, 8);
  put_number(to + 8, bytes, 4);
}

}  // namespace vmigrate::peer
