#pragma once

#include <cstdint>
#include <vector>

#include "announce/addresses.hpp"
#include "base/bytes.hpp"

/// The Ethernet frames that tell a network where an interface is: whole frames without the check sequence,
/// padded to Ethernet's least size (60 bytes, 64 with a tag), with an 802.1Q tag (priority 0) where `vlan` is
/// not 0.
namespace vmigrate::announce {

/// Makes every switch on the way learn the port of `mac`; says nothing about addresses, so it is always
/// right. RFC 903 "request reverse", broadcast, addresses 0.0.0.0: what QEMU sends for itself, and what
/// network equipment and nwfilter rules therefore expect of a VM that has moved.
ByteBuffer reverse_arp_request(const MacAddress& mac, std::uint16_t vlan);

/// RFC 5227, section 2.3: a broadcast request whose sender and target address are both the announced one.
ByteBuffer arp_announcement(const MacAddress& mac, const Ipv4Address& address, std::uint16_t vlan);

/// RFC 4861, sections 4.4 and 7.2.6: unsolicited, with the override flag, to all nodes (ff02::1), from the
/// address itself. The router flag is not set: see AddressObserver for why routers' link-local addresses
/// do not get here.
ByteBuffer neighbour_advertisement(const MacAddress& mac, const Ipv6Address& address, std::uint16_t vlan);

/// One announcement of an interface: the reverse ARP request first, then one frame for each address.
std::vector<ByteBuffer> announcement_frames(const MacAddress& mac, const std::vector<IpAddress>& addresses,
                                            std::uint16_t vlan);

}  // namespace vmigrate::announce
