#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "peer/credentials.hpp"
#include "peer/limits.hpp"
#include "peer/striping.hpp"
#include "peer/trust.hpp"

namespace vmigrate::peer {

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
};

}  // namespace vmigrate::peer
