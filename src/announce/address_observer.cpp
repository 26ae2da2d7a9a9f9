#include "announce/address_observer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/thread_name.hpp"

namespace vmigrate::announce {
namespace {

constexpr std::size_t kHeader = 14;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kFramesAtOnce = 64;
constexpr int kPauseMilliseconds = 100;

std::uint8_t octet_at(ByteView frame, std::size_t offset) {
  return std::to_integer<std::uint8_t>(frame[offset]);
}

std::uint16_t word_at(ByteView frame, std::size_t offset) {
  return static_cast<std::uint16_t>(octet_at(frame, offset) << 8 | octet_at(frame, offset + 1));
}

bool has_mac_at(ByteView frame, std::size_t offset, const MacAddress& mac) {
  return std::ranges::equal(frame.subspan(offset, mac.octets.size()), std::as_bytes(std::span(mac.octets)));
}

bool is_first_hop_limit(std::uint8_t limit) {
  return limit == 64 || limit == 128 || limit == 255;
}

std::optional<IpAddress> unless_link_local(std::optional<IpAddress> address) {
  if (!address || is_link_local(std::get<Ipv6Address>(*address))) return std::nullopt;
  return address;
}

/// RFC 826. A probe's sender address is 0.0.0.0, which is nobody's.
std::optional<IpAddress> shown_by_arp(ByteView frame, const MacAddress& mac) {
  constexpr std::size_t kSize = kHeader + 28;
  if (frame.size() < kSize || word_at(frame, 14) != 1 || word_at(frame, 16) != ETHERTYPE_IP ||
      word_at(frame, 18) != 0x0604 || !has_mac_at(frame, 22, mac)) {
    return std::nullopt;
  }
  return read_announceable(frame.subspan(28, 4));
}

/// RFC 791.
std::optional<IpAddress> shown_by_ipv4(ByteView frame) {
  if (frame.size() < kHeader + 20 || octet_at(frame, 14) >> 4 != 4) return std::nullopt;
  if (!is_first_hop_limit(octet_at(frame, kHeader + 8))) return std::nullopt;
  return read_announceable(frame.subspan(kHeader + 12, 4));
}

/// RFC 4861, section 4.4, behind an IPv6 header without extensions.
std::optional<IpAddress> shown_by_advertisement(ByteView frame) {
  constexpr std::size_t kMessage = kHeader + kIpv6Header;
  constexpr std::uint8_t kRouter = 0x80;
  if (frame.size() < kMessage + 24) return std::nullopt;
  const auto target = read_announceable(frame.subspan(kMessage + 8, 16));
  const bool router = (octet_at(frame, kMessage + 4) & kRouter) != 0;
  return router ? unless_link_local(target) : target;
}

/// RFC 8200.
std::optional<IpAddress> shown_by_ipv6(ByteView frame) {
  constexpr std::uint8_t kIcmpv6 = 58;
  constexpr std::uint8_t kNeighbourAdvertisement = 136;
  if (frame.size() < kHeader + kIpv6Header || octet_at(frame, kHeader) >> 4 != 6) return std::nullopt;
  const std::uint8_t hop_limit = octet_at(frame, kHeader + 7);
  if (!is_first_hop_limit(hop_limit)) return std::nullopt;
  const bool is_control = octet_at(frame, kHeader + 6) == kIcmpv6 && frame.size() > kHeader + kIpv6Header;
  if (is_control && hop_limit == 255 && octet_at(frame, kHeader + kIpv6Header) == kNeighbourAdvertisement) {
    return shown_by_advertisement(frame);
  }
  return unless_link_local(read_announceable(frame.subspan(kHeader + 8, 16)));
}

constexpr std::uint32_t ancillary(int field) {
  return static_cast<std::uint32_t>(SKF_AD_OFF + field);
}

/// The filter in classic BPF, which every packet socket takes. Frames that the VM tags itself are left out:
/// they are in VLANs that the announcement would not be in. ICMPv6 with hop limit 255 is neighbour discovery.
std::array<sock_filter, 16> filter_for(const MacAddress& mac) {
  const auto& octet = mac.octets;
  const std::uint32_t first = static_cast<std::uint32_t>(octet[0]) << 8 | octet[1];
  const std::uint32_t last = static_cast<std::uint32_t>(octet[2]) << 24 |
                             static_cast<std::uint32_t>(octet[3]) << 16 |
                             static_cast<std::uint32_t>(octet[4]) << 8 | octet[5];
  constexpr std::uint16_t kLoadHalf = BPF_LD | BPF_H | BPF_ABS;
  constexpr std::uint16_t kLoadWord = BPF_LD | BPF_W | BPF_ABS;
  constexpr std::uint16_t kEqual = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr std::uint16_t kAnyBit = BPF_JMP | BPF_JSET | BPF_K;
  constexpr std::uint16_t kReturn = BPF_RET | BPF_K;
  // Jumps count from the next instruction: (if true, if false).
  return {{
      {kLoadHalf, 0, 0, ancillary(SKF_AD_VLAN_TAG_PRESENT)},
      {kEqual, 0, 13, 0},  // tagged: out
      {kLoadHalf, 0, 0, 6},
      {kEqual, 0, 11, first},  // not from this MAC: out
      {kLoadWord, 0, 0, 8},
      {kEqual, 0, 9, last},
      {kLoadHalf, 0, 0, 12},
      {kEqual, 6, 0, ETHERTYPE_ARP},   // in
      {kEqual, 0, 2, ETHERTYPE_IPV6},  // else see whether it is IPv4
      {kLoadHalf, 0, 0, 20},
      {kEqual, 3, 1, 58U << 8 | 255},  // neighbour discovery: in; else sample
      {kEqual, 0, 3, ETHERTYPE_IP},    // neither: out
      {kLoadWord, 0, 0, ancillary(SKF_AD_RANDOM)},
      {kAnyBit, 1, 0, 31},
      {kReturn, 0, 0, kObservedBytes},
      {kReturn, 0, 0, 0},
  }};
}

/// Filtered from its first frame on: it is bound to the device last.
Result<FileDescriptor> listen_on(const std::string& tap, const MacAddress& mac) {
  const unsigned index = ::if_nametoindex(tap.c_str());
  if (index == 0) return fail_errno(fmt::format("cannot listen on '{}'", tap), errno);
  FileDescriptor packets(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!packets) return fail_errno("cannot open a packet socket", errno);

  auto instructions = filter_for(mac);
  const sock_fprog filter{static_cast<unsigned short>(instructions.size()), instructions.data()};
  const int ignore_outgoing = 1;  // what goes to the VM does not even meet the filter
  if (::setsockopt(packets.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) != 0 ||
      ::setsockopt(packets.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &ignore_outgoing,
                   sizeof(ignore_outgoing)) != 0) {
    return fail_errno("cannot filter a packet socket", errno);
  }
  sockaddr_ll device{};
  device.sll_family = AF_PACKET;
  device.sll_protocol = htons(ETH_P_ALL);
  device.sll_ifindex = static_cast<int>(index);
  if (::bind(packets.get(), reinterpret_cast<const sockaddr*>(&device), sizeof(device)) != 0) {
    return fail_errno(fmt::format("cannot listen on '{}'", tap), errno);
  }
  return packets;
}

}  // namespace

std::optional<IpAddress> address_shown_by(ByteView frame, const MacAddress& mac) {
  if (frame.size() < kHeader || !has_mac_at(frame, 6, mac)) return std::nullopt;
  switch (word_at(frame, 12)) {
    case ETHERTYPE_ARP: return shown_by_arp(frame, mac);
    case ETHERTYPE_IP: return shown_by_ipv4(frame);
    case ETHERTYPE_IPV6: return shown_by_ipv6(frame);
    default: return std::nullopt;
  }
}

Result<std::unique_ptr<AddressObserver>> AddressObserver::start(const std::string& tap,
                                                                const MacAddress& mac) {
  auto packets = listen_on(tap, mac);
  if (!packets) return fail(packets.error());
  FileDescriptor stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return fail_errno("cannot create an event", errno);
  return std::unique_ptr<AddressObserver>(new AddressObserver(std::move(*packets), std::move(stop), mac));
}

AddressObserver::AddressObserver(FileDescriptor packets, FileDescriptor stop, const MacAddress& mac)
    : packets_(std::move(packets)), stop_(std::move(stop)), mac_(mac), thread_([this] { listen(); }) {
}

AddressObserver::~AddressObserver() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

std::vector<IpAddress> AddressObserver::addresses() const {
  std::lock_guard lock(mutex_);
  return addresses_;
}

void AddressObserver::listen() {
  name_this_thread("vmig-observe");
  std::array<std::byte, kObservedBytes> buffer{};
  for (;;) {
    std::array<pollfd, 2> wanted{{{packets_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (::poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR) return;
    for (std::size_t i = 0; i < kFramesAtOnce; ++i) {
      const ssize_t size = ::recv(packets_.get(), buffer.data(), buffer.size(), 0);
      // The device has gone, or is down for the moment: a pause, then poll() again.
      if (size < 0) break;
      if (take_in(ByteView(buffer).first(static_cast<std::size_t>(size)))) return;
    }
    if (stopped_within(kPauseMilliseconds)) return;
  }
}

bool AddressObserver::take_in(ByteView frame) {
  const auto address = address_shown_by(frame, mac_);
  if (!address) return false;
  std::lock_guard lock(mutex_);
  remember(addresses_, *address);
  return addresses_.size() == kMostAddresses;
}

bool AddressObserver::stopped_within(int milliseconds) const {
  pollfd stop{stop_.get(), POLLIN, 0};
  return ::poll(&stop, 1, milliseconds) > 0;
}

}  // namespace vmigrate::announce
