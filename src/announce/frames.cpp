#include "announce/frames.hpp"

#include <array>
#include <span>

namespace vmigrate::announce {
namespace {

constexpr std::array<std::uint8_t, 6> kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr std::array<std::uint8_t, 6> kAllNodesMac{0x33, 0x33, 0, 0, 0, 1};
constexpr Ipv6Address kAllNodes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr std::size_t kLeastFrame = 60;
constexpr std::size_t kTagSize = 4;

constexpr std::uint16_t kTypeVlan = 0x8100;
constexpr std::uint16_t kTypeArp = 0x0806;
constexpr std::uint16_t kTypeReverseArp = 0x8035;
constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeIpv6 = 0x86dd;

class FrameWriter {
 public:
  FrameWriter(std::span<const std::uint8_t, 6> destination, const MacAddress& source, std::uint16_t vlan,
              std::uint16_t type)
      : least_size_(vlan == 0 ? kLeastFrame : kLeastFrame + kTagSize) {
    octets(destination);
    octets(source.octets);
    if (vlan != 0) {
      word(kTypeVlan);
      word(vlan);
    }
    word(type);
  }

  void octet(std::uint8_t value) { frame_.push_back(std::byte{value}); }
  void word(std::uint16_t value) {
    octet(static_cast<std::uint8_t>(value >> 8));
    octet(static_cast<std::uint8_t>(value & 0xff));
  }
  void octets(std::span<const std::uint8_t> values) {
    for (const std::uint8_t value : values) octet(value);
  }

  ByteBuffer finish() && {
    if (frame_.size() < least_size_) frame_.resize(least_size_);
    return std::move(frame_);
  }

 private:
  std::size_t least_size_;
  ByteBuffer frame_;
};

enum class ArpOperation : std::uint16_t { request = 1, request_reverse = 3 };

struct ArpPair {
  MacAddress mac;
  Ipv4Address address;
};

/// RFC 826's packet for Ethernet and IPv4.
void write_arp(FrameWriter& writer, ArpOperation operation, const ArpPair& sender, const ArpPair& target) {
  writer.word(1);  // Ethernet
  writer.word(kTypeIpv4);
  writer.octet(sizeof(MacAddress::octets));
  writer.octet(sizeof(Ipv4Address));
  writer.word(static_cast<std::uint16_t>(operation));
  for (const ArpPair& pair : {sender, target}) {
    writer.octets(pair.mac.octets);
    writer.octets(pair.address);
  }
}

std::uint32_t sum_of_words(std::span<const std::uint8_t> octets) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < octets.size(); i += 2) {
    sum += static_cast<std::uint32_t>(octets[i]) << 8 | octets[i + 1];
  }
  return sum;
}

/// RFC 4443, section 2.3: one's complement over the pseudo-header (RFC 8200, section 8.1) and the message,
/// whose own checksum field is still 0. The message has an even length.
std::uint16_t icmpv6_checksum(const Ipv6Address& source, const Ipv6Address& destination,
                              std::span<const std::uint8_t> message, std::uint8_t next_header) {
  std::uint32_t sum = sum_of_words(source) + sum_of_words(destination) + sum_of_words(message) +
                      static_cast<std::uint32_t>(message.size()) + next_header;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum & 0xffff);
}

}  // namespace

ByteBuffer reverse_arp_request(const MacAddress& mac, std::uint16_t vlan) {
  FrameWriter writer(kBroadcast, mac, vlan, kTypeReverseArp);
  write_arp(writer, ArpOperation::request_reverse, {mac, {}}, {mac, {}});
  return std::move(writer).finish();
}

ByteBuffer arp_announcement(const MacAddress& mac, const Ipv4Address& address, std::uint16_t vlan) {
  FrameWriter writer(kBroadcast, mac, vlan, kTypeArp);
  write_arp(writer, ArpOperation::request, {mac, address}, {MacAddress{}, address});
  return std::move(writer).finish();
}

ByteBuffer neighbour_advertisement(const MacAddress& mac, const Ipv6Address& address, std::uint16_t vlan) {
  constexpr std::uint8_t kIcmpv6 = 58;
  constexpr std::uint8_t kOverride = 0x20;
  constexpr std::uint8_t kTargetLinkLayerAddress = 2;

  std::array<std::uint8_t, 32> message{136, 0, 0, 0, kOverride};
  std::copy(address.begin(), address.end(), message.begin() + 8);
  message[24] = kTargetLinkLayerAddress;
  message[25] = 1;  // in units of 8 octets
  std::copy(mac.octets.begin(), mac.octets.end(), message.begin() + 26);
  const std::uint16_t checksum = icmpv6_checksum(address, kAllNodes, message, kIcmpv6);
  message[2] = static_cast<std::uint8_t>(checksum >> 8);
  message[3] = static_cast<std::uint8_t>(checksum & 0xff);

  FrameWriter writer(kAllNodesMac, mac, vlan, kTypeIpv6);
  writer.word(0x6000);  // version 6, no traffic class or flow label
  writer.word(0);
  writer.word(static_cast<std::uint16_t>(message.size()));
  writer.octet(kIcmpv6);
  writer.octet(255);  // proves that no router has forwarded it (RFC 4861, section 7.1.2)
  writer.octets(address);
  writer.octets(kAllNodes);
  writer.octets(message);
  return std::move(writer).finish();
}

std::vector<ByteBuffer> announcement_frames(const MacAddress& mac, const std::vector<IpAddress>& addresses,
                                            std::uint16_t vlan) {
  std::vector<ByteBuffer> frames{reverse_arp_request(mac, vlan)};
  for (const IpAddress& address : addresses) {
    if (const auto* v4 = std::get_if<Ipv4Address>(&address)) {
      frames.push_back(arp_announcement(mac, *v4, vlan));
    } else {
      frames.push_back(neighbour_advertisement(mac, std::get<Ipv6Address>(address), vlan));
    }
  }
  return frames;
}

}  // namespace vmigrate::announce
