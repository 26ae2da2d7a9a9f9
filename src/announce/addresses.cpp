#include "announce/addresses.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace vmigrate::announce {
namespace {

bool is_v4_mapped(const Ipv6Address& address) {
  const bool zeros =
      std::all_of(address.begin(), address.begin() + 10, [](auto octet) { return octet == 0; });
  return zeros && address[10] == 0xff && address[11] == 0xff;
}

bool is_unspecified_or_loopback(const Ipv6Address& address) {
  return std::all_of(address.begin(), address.end() - 1, [](auto octet) { return octet == 0; }) &&
         address.back() <= 1;
}

template <class Address>
std::optional<IpAddress> read_as(ByteView bytes) {
  Address address{};
  std::memcpy(address.data(), bytes.data(), address.size());
  if (!can_be_announced(address)) return std::nullopt;
  return address;
}

}  // namespace

Result<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < mac.octets.size(); ++i) {
    const char* first = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(first, first + 2, mac.octets[i], 16);
    good = error == std::errc{} && end == first + 2 && (i + 1 == mac.octets.size() || *end == ':');
  }
  if (!good) return fail(ErrorCode::usage, "not a MAC address", "write it like 52:54:00:12:34:56");
  if ((mac.octets[0] & 1) != 0 || mac == MacAddress{}) {
    return fail(ErrorCode::usage, fmt::format("{} is not the MAC address of an interface", text));
  }
  return mac;
}

bool can_be_announced(const IpAddress& address) {
  if (const auto* v4 = std::get_if<Ipv4Address>(&address)) {
    const std::uint8_t first = v4->front();
    return first != 0 && first != 127 && first < 224;  // 224 and up: multicast, reserved, broadcast
  }
  const auto& v6 = std::get<Ipv6Address>(address);
  return v6[0] != 0xff && !is_unspecified_or_loopback(v6) && !is_v4_mapped(v6);
}

bool is_link_local(const Ipv6Address& address) {
  return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

std::optional<IpAddress> parse_announceable(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  std::array<std::byte, 16> bytes{};
  if (::inet_pton(AF_INET, terminated.data(), bytes.data()) == 1) return read_as<Ipv4Address>(bytes);
  if (::inet_pton(AF_INET6, terminated.data(), bytes.data()) == 1) return read_as<Ipv6Address>(bytes);
  return std::nullopt;
}

std::optional<IpAddress> read_announceable(ByteView bytes) {
  if (bytes.size() == std::tuple_size_v<Ipv4Address>) return read_as<Ipv4Address>(bytes);
  if (bytes.size() == std::tuple_size_v<Ipv6Address>) return read_as<Ipv6Address>(bytes);
  return std::nullopt;
}

std::string to_string(const MacAddress& mac) {
  return fmt::format("{:02x}", fmt::join(mac.octets, ":"));
}

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto* v4 = std::get_if<Ipv4Address>(&address);
  const void* octets = v4 != nullptr ? v4->data() : std::get<Ipv6Address>(address).data();
  ::inet_ntop(v4 != nullptr ? AF_INET : AF_INET6, octets, text.data(), text.size());
  return text.data();
}

void remember(std::vector<IpAddress>& known, const IpAddress& address) {
  if (known.size() >= kMostAddresses) return;
  if (std::find(known.begin(), known.end(), address) == known.end()) known.push_back(address);
}

}  // namespace vmigrate::announce
