#pragma once

#include <chrono>
#include <optional>

#include "base/error.hpp"
#include "base/units.hpp"
#include "peer/session.hpp"

namespace vmigrate::migration {

/// Whether the certificates of a session last until a move would be over: `limit` from now, or an hour if
/// there is none. A move that is under way does not suffer when they end, until a connection has to be made
/// anew: after a break, or a restart.
Result<> certificates_last(const peer::PeerIdentity& peer, std::chrono::system_clock::time_point now,
                           std::optional<Milliseconds> limit);

}  // namespace vmigrate::migration
