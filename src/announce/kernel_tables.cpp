#include "announce/kernel_tables.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

namespace vmigrate::announce {
namespace {

template <class Value>
ByteView bytes_of(const Value& value) {
  static_assert(std::is_trivially_copyable_v<Value>);
  return {reinterpret_cast<const std::byte*>(&value), sizeof(value)};
}

std::string kind_of(ByteView message) {
  const auto information = find_attribute(message, sizeof(ifinfomsg), IFLA_LINKINFO);
  if (!information) return {};
  const auto kind = find_attribute(*information, 0, IFLA_INFO_KIND);
  if (!kind) return {};
  const std::string_view text = as_text(*kind);
  return std::string(text.substr(0, text.find('\0')));
}

bool has_mac(ByteView neighbour, const MacAddress& mac) {
  const auto address = find_attribute(neighbour, sizeof(ndmsg), NDA_LLADDR);
  return address && std::ranges::equal(*address, bytes_of(mac.octets));
}

/// The bridge's forwarding entry for a MAC; nothing when it has none.
Result<std::optional<ndmsg>> forwarding_entry(NetlinkSocket& kernel, std::uint32_t bridge,
                                              const MacAddress& mac) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  NetlinkRequest request(RTM_GETNEIGH, 0, header);
  request.add(NDA_LLADDR, bytes_of(mac.octets));
  request.add(NDA_MASTER, bytes_of(bridge));
  const auto answer = kernel.request(std::move(request));
  if (!answer && answer.error() == ENOENT) return std::optional<ndmsg>{};
  if (!answer) return fail_errno("cannot read the bridge's forwarding table", answer.error());
  if (answer->empty()) return std::optional<ndmsg>{};
  return family_header<ndmsg>(answer->front());
}

bool is_valid_neighbour(const ndmsg& neighbour) {
  constexpr unsigned kAnswered = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;
  return (neighbour.ndm_state & kAnswered) != 0;
}

/// Our advertisements say "no router"; hosts that hear that about the link-local address of their default
/// router stop using it (RFC 4861, section 7.2.5).
bool is_address_of_router(const ndmsg& neighbour, const IpAddress& address) {
  const auto* v6 = std::get_if<Ipv6Address>(&address);
  return v6 != nullptr && is_link_local(*v6) && (neighbour.ndm_flags & NTF_ROUTER) != 0;
}

}  // namespace

Result<std::optional<Link>> find_link(NetlinkSocket& kernel, const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return std::optional<Link>{};
  NetlinkRequest request(RTM_GETLINK, 0, ifinfomsg{});
  request.add(IFLA_IFNAME, {reinterpret_cast<const std::byte*>(name.c_str()), name.size() + 1});
  const auto answer = kernel.request(std::move(request));
  if (!answer && answer.error() == ENODEV) return std::optional<Link>{};
  if (!answer) return fail_errno(fmt::format("cannot look up the network device {}", name), answer.error());
  const auto header = answer->empty() ? std::nullopt : family_header<ifinfomsg>(answer->front());
  if (!header) return std::optional<Link>{};
  const ByteView message = answer->front();
  return Link{.index = static_cast<std::uint32_t>(header->ifi_index),
              .master = find_number(message, sizeof(ifinfomsg), IFLA_MASTER).value_or(0),
              .kind = kind_of(message)};
}

Result<BridgePort> find_bridge_port(NetlinkSocket& kernel, const std::string& bridge,
                                    const std::string& tap) {
  const auto bridge_link = find_link(kernel, bridge);
  if (!bridge_link) return fail(bridge_link.error());
  if (!*bridge_link) {
    return fail(ErrorCode::not_found, fmt::format("the bridge '{}' does not exist on this host", bridge),
                "create it, or give the VM's interface a bridge that both hosts have");
  }
  if ((*bridge_link)->kind != "bridge") {
    return fail(ErrorCode::refused, fmt::format("'{}' is not a Linux bridge", bridge),
                "interfaces on macvtap and Open vSwitch are announced by QEMU alone");
  }
  const auto port = find_link(kernel, tap);
  if (!port) return fail(port.error());
  if (!*port) {
    return fail(ErrorCode::not_found,
                fmt::format("the VM's network device '{}' does not exist on this host", tap));
  }
  if ((*port)->master != (*bridge_link)->index) {
    return fail(ErrorCode::refused, fmt::format("'{}' is not a port of the bridge '{}'", tap, bridge),
                fmt::format("put it there: ip link set {} master {}", tap, bridge));
  }
  return BridgePort{.bridge = (*bridge_link)->index, .port = (*port)->index};
}

Result<> point_forwarding_entry(NetlinkSocket& kernel, const BridgePort& where, const MacAddress& mac) {
  const auto entry = forwarding_entry(kernel, where.bridge, mac);
  if (!entry) return fail(entry.error());
  if (*entry && ((*entry)->ndm_state & NUD_PERMANENT) != 0) {
    return fail(ErrorCode::refused,
                fmt::format("{} is the address of one of this host's own devices", to_string(mac)),
                "give the VM or the device another MAC address");
  }
  if (*entry && (*entry)->ndm_ifindex == static_cast<int>(where.port)) return {};

  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  header.ndm_ifindex = static_cast<int>(where.port);
  header.ndm_state = NUD_REACHABLE;
  header.ndm_flags = NTF_MASTER;
  // Without a VLAN the kernel writes the entry for every VLAN that the port is a member of.
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, header);
  request.add(NDA_LLADDR, bytes_of(mac.octets));
  const auto answer = kernel.request(std::move(request));
  if (answer) return {};
  if (answer.error() == EPERM) {
    // The kernel lets nobody add dynamic entries to a port that does not learn yet.
    return fail(ErrorCode::failed, "the bridge does not forward to the VM's port yet",
                "if the bridge runs spanning tree, set its forward delay to 0 or switch it off");
  }
  return fail_errno("cannot update the bridge's forwarding table", answer.error());
}

Result<std::vector<IpAddress>> neighbours(NetlinkSocket& kernel, std::uint32_t link, const MacAddress& mac) {
  // Family 0: the tables of IPv4 and IPv6 together.
  const auto answer = kernel.request(NetlinkRequest(RTM_GETNEIGH, NLM_F_DUMP, ndmsg{}));
  if (!answer) return fail_errno("cannot read the neighbour tables", answer.error());
  std::vector<IpAddress> found;
  for (const ByteBuffer& message : *answer) {
    const auto header = family_header<ndmsg>(message);
    if (!header || header->ndm_ifindex != static_cast<int>(link)) continue;
    if (!is_valid_neighbour(*header) || !has_mac(message, mac)) continue;
    const auto destination = find_attribute(message, sizeof(ndmsg), NDA_DST);
    const auto address = destination ? read_announceable(*destination) : std::nullopt;
    if (address && !is_address_of_router(*header, *address)) remember(found, *address);
  }
  return found;
}

}  // namespace vmigrate::announce
