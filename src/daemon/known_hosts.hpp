#pragma once

#include <map>
#include <string>

#include "daemon/configuration.hpp"
#include "trust/paired_peers.hpp"

namespace vmigrate::daemon {

/// Another host, as this one knows it.
struct KnownHost {
  std::string address;  ///< with the port, for people
  bool paired = false;
};

/// Those of migrated.toml and those that are paired, by name. An address of migrated.toml goes before the one
/// that was noted when a host was paired.
std::map<std::string, KnownHost> known_hosts(const Configuration& configuration,
                                             const trust::PairedPeers& paired);

}  // namespace vmigrate::daemon
