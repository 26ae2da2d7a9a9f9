#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "announce/addresses.hpp"
#include "announce/netlink.hpp"

/// What this host's kernel knows about its links, who is where on its bridges, and who its neighbours are.
namespace vmigrate::announce {

struct Link {
  std::uint32_t index = 0;
  std::uint32_t master = 0;  ///< index of the bridge or bond it is a port of; 0: none
  std::string kind;          ///< "bridge", "tun", "veth", …; empty for hardware
};

/// Nothing when there is no such link.
Result<std::optional<Link>> find_link(NetlinkSocket& kernel, const std::string& name);

/// A bridge of this host and the port of it that leads to the VM.
struct BridgePort {
  std::uint32_t bridge = 0;
  std::uint32_t port = 0;
  bool operator==(const BridgePort&) const = default;
};

/// Refused with what is wrong when `bridge` is no Linux bridge here or `tap` is no port of it.
Result<BridgePort> find_bridge_port(NetlinkSocket& kernel, const std::string& bridge, const std::string& tap);

/// Makes the bridge forward frames for `mac` to the port, now. The entry is one as the bridge learns them: it
/// ages, and moves when the VM does. An entry that already leads there is left alone, whatever its kind.
/// Refused when the MAC is one of this host's own, or the port does not forward (no carrier, spanning tree).
Result<> point_forwarding_entry(NetlinkSocket& kernel, const BridgePort& where, const MacAddress& mac);

/// The addresses that this host's ARP and neighbour tables have for `mac` on the link with this index.
Result<std::vector<IpAddress>> neighbours(NetlinkSocket& kernel, std::uint32_t link, const MacAddress& mac);

}  // namespace vmigrate::announce
