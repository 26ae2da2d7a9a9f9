#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "peer/credentials.hpp"
#include "peer/limits.hpp"
#include "peer/striping.hpp"

namespace vmigrate::peer {

struct HostAddress {
  std::string host;  ///< name or address
  std::uint16_t port = 0;
};

/// What dialling and listening have in common.
struct Endpoint {
  Credentials credentials;
  std::map<std::string, HostAddress> peers;  ///< by the name that their certificates carry
  std::string software;                      ///< version, for people
  std::vector<std::string> features{};       ///< that this side has; a session uses what both have
  ConnectionLimits bulk_connections{};
  Patience patience{};
  std::uint32_t protocol = kProtocol;
  std::uint32_t oldest_protocol = kOldestProtocol;
};

}  // namespace vmigrate::peer
