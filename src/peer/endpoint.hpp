#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "peer/credentials.hpp"
#include "peer/limits.hpp"
#include "peer/session.hpp"
#include "peer/striping.hpp"
#include "peer/trust.hpp"

namespace vmigrate::peer {

/// A connection that did not become a session, or part of one.
struct TurnedAway {
  PeerIdentity peer;  ///< without host: it has not proved to be any that is configured
  std::string reason;
};

/// What dialling and listening have in common.
struct Endpoint {
  Credentials credentials;
  /// By the name that their certificates carry. Those that are paired need not be here; an address that is
  /// goes before the one that was noted then.
  std::map<std::string, HostAddress> peers;
  std::string software;                 ///< version, for people
  std::vector<std::string> features{};  ///< that this side has; a session uses what both have
  ConnectionLimits bulk_connections{};
  Patience patience{};
  std::uint32_t protocol = kProtocol;
  std::uint32_t oldest_protocol = kOldestProtocol;
  /// Told by the listener, from its threads; must not block.
  std::function<void(const TurnedAway&)> turned_away{};
};

}  // namespace vmigrate::peer
