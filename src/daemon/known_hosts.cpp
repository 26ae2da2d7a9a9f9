#include "daemon/known_hosts.hpp"

#include <fmt/format.h>

namespace vmigrate::daemon {

std::map<std::string, KnownHost> known_hosts(const Configuration& configuration,
                                             const trust::PairedPeers& paired) {
  std::map<std::string, KnownHost> hosts;
  for (const auto& peer : paired.list()) hosts[peer.name] = {for_people(peer.address), true};
  for (const auto& [name, peer] : configuration.peers) hosts[name].address = peer.address;
  return hosts;
}

std::string for_people(const peer::HostAddress& address) {
  const bool version_6 = address.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", version_6 ? "[" : "", address.host, version_6 ? "]" : "", address.port);
}

}  // namespace vmigrate::daemon
