#include "daemon/known_hosts.hpp"

namespace vmigrate::daemon {

std::map<std::string, KnownHost> known_hosts(const Configuration& configuration,
                                             const trust::PairedPeers& paired) {
  std::map<std::string, KnownHost> hosts;
  for (const auto& peer : paired.list()) hosts[peer.name] = {peer.address.text(), true};
  for (const auto& [name, peer] : configuration.peers) hosts[name].address = peer.address;
  return hosts;
}

}  // namespace vmigrate::daemon
