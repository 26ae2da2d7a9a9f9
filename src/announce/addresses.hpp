#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"

namespace vmigrate::announce {

/// How many addresses of one interface are taken note of and announced. They come from a guest or from a
/// peer, and each is a frame on the network.
constexpr std::size_t kMostAddresses = 16;

struct MacAddress {
  std::array<std::uint8_t, 6> octets{};

  /// "52:54:00:12:34:56", either case. Only what one interface can have: no group address, not all zero.
  static Result<MacAddress> parse(std::string_view text);
  bool operator==(const MacAddress&) const = default;
  bool operator<(const MacAddress& other) const { return octets < other.octets; }
};

using Ipv4Address = std::array<std::uint8_t, 4>;   ///< in the order of the wire
using Ipv6Address = std::array<std::uint8_t, 16>;  ///< in the order of the wire
using IpAddress = std::variant<Ipv4Address, Ipv6Address>;

/// An address that a single host on a link can have, and so may be announced: not unspecified, loopback,
/// multicast or broadcast, nor an IPv4 address in IPv6 dress.
bool can_be_announced(const IpAddress& address);
/// fe80::/10.
bool is_link_local(const Ipv6Address& address);

/// Nothing unless the text is an address that can be announced.
std::optional<IpAddress> parse_announceable(std::string_view text);
/// 4 or 16 bytes in the order of the wire; nothing unless that is an address that can be announced.
std::optional<IpAddress> read_announceable(ByteView bytes);

std::string to_string(const MacAddress& mac);
std::string to_string(const IpAddress& address);

/// Adds an address unless it is there already or kMostAddresses are.
void remember(std::vector<IpAddress>& known, const IpAddress& address);

}  // namespace vmigrate::announce
