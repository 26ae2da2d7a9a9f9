#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

inline constexpr std::size_t kKibibyte = 1024;
inline constexpr std::size_t kMebibyte = 1024 * kKibibyte;

// docs/protocol.md lists them; a peer that exceeds one loses its session.
inline constexpr std::uint32_t kProtocol = 1;
inline constexpr std::uint32_t kOldestProtocol = 1;
inline constexpr std::size_t kLongestHeader = 64;
inline constexpr std::size_t kLongestPayload = 64 * kKibibyte;
inline constexpr std::size_t kLongestBulkChunk = BulkSender::kMostInPlace;
/// Of what this side has to send and the link has not taken. More than the longest message.
inline constexpr std::size_t kMostQueued = 18 * kMebibyte;

constexpr std::size_t longest_message(Lane lane) {
  switch (lane) {
    case Lane::control: return kMebibyte / 2;
    case Lane::hypervisor_rpc: return 16 * kMebibyte;
    case Lane::ram_return: break;
  }
  return kMebibyte;
}

/// What a frame counts for beside its payload, so that many small ones are held back too.
inline constexpr std::size_t kFrameCost = 64;
/// A receiver lets so much gather before it grants it anew.
inline constexpr std::size_t kGrantStep = 256 * kKibibyte;

/// Of what was sent on a connection and not acknowledged, when the sender waits for a word. As much as the
/// kernels at both ends hold of a bulk connection, and more than a round trip of messages.
inline constexpr std::size_t kMostUnacknowledgedBulk = 8 * kMebibyte;
inline constexpr std::size_t kMostUnacknowledgedMessages = kMebibyte;
/// What a receiver lets gather before it says that it has come in.
inline constexpr std::size_t kAcknowledgeStep = 256 * kKibibyte;

/// How much of a lane may be on its way or with the receiver, not yet dealt with. The longest message fits
/// even while a step has not been granted yet, or it could never become whole.
constexpr std::size_t window(Lane lane) {
  return longest_message(lane) + 2 * kGrantStep;
}

constexpr bool is_message_lane(std::uint32_t lane) {
  return lane >= static_cast<std::uint32_t>(Lane::control) &&
         lane <= static_cast<std::uint32_t>(Lane::ram_return);
}

/// How long to wait for a peer. Tests shorten them.
struct Patience {
  Milliseconds opening{5'000};       ///< from the connection to the end of the greetings
  Milliseconds redial{2'000};        ///< likewise, for a connection that was lost; it is tried again
  Milliseconds sign_of_life{1'000};  ///< how often one is sent
  Milliseconds silence{4'000};       ///< after which a peer is taken for dead
  Milliseconds farewell{1'000};      ///< for what is still to be sent when a session is closed
};

}  // namespace vmigrate::peer
