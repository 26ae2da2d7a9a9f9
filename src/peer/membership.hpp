#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "peer/tls_stream.hpp"
#include "vmigrate/peer.pb.h"

namespace vmigrate::peer {

/// How a connection says which session it belongs to: only the session's two ends can say it, and only on
/// this one TLS connection. docs/protocol.md has the form of the proof.

/// 256 random bits.
std::string random_secret();
/// `join.connection`, `attempt` and `received` have to be set; sets the proof.
Result<> prove(wire::Join& join, const std::string& secret, const TlsStream& stream);
bool is_proved(const wire::Join& join, const std::string& secret, const TlsStream& stream);

}  // namespace vmigrate::peer
