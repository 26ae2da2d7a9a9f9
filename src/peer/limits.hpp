#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

// docs/protocol.md lists them; a peer that exceeds one loses its session.
inline constexpr std::uint32_t kProtocol = 1;
inline constexpr std::uint32_t kOldestProtocol = 1;
inline constexpr std::size_t kLongestHeader = 64;
inline constexpr std::size_t kLongestPayload = 64 * 1024;
inline constexpr std::size_t kLongestBulkChunk = 128 * 1024;
/// Of what this side has to send and the link has not taken.
inline constexpr std::size_t kMostQueued = 64 * 1024 * 1024;

constexpr std::size_t longest_message(Lane lane) {
  return lane == Lane::hypervisor_rpc ? 16 * 1024 * 1024 : 4 * 1024 * 1024;
}

/// How long to wait for a peer. Tests shorten them.
struct Patience {
  Milliseconds opening{5'000};       ///< from the connection to the end of the greetings
  Milliseconds sign_of_life{1'000};  ///< how often one is sent
  Milliseconds silence{4'000};       ///< after which a peer is taken for dead
  Milliseconds farewell{1'000};      ///< for what is still to be sent when a session is closed
};

}  // namespace vmigrate::peer
