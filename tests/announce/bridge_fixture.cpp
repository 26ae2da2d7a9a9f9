#include "bridge_fixture.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bytes.hpp"

namespace vmigrate::announce {

const std::string BridgeTest::kMacText = "52:54:00:12:34:56";

namespace {

/// Kernels tell their multicast groups to every link at times of their own (RFC 3376 and RFC 3810).
bool is_membership_report(ByteView frame) {
  const auto goes_to = [frame](std::string_view mac) {
    return frame.size() > 6 && std::ranges::equal(frame.first(6), from_hex(mac));
  };
  return goes_to("01005e000016") || goes_to("333300000016");
}

}  // namespace

Tap::Tap(const std::string& name) : device_(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)) {
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (!device_ || ::ioctl(device_.get(), TUNSETIFF, &request) != 0) {
    throw std::runtime_error(fmt::format("cannot make the TAP device {}: {}", name, errno));
  }
}

void Tap::write(ByteView frame) const {
  ASSERT_EQ(::write(device_.get(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
}

ByteBuffer Tap::read() const {
  pollfd device{device_.get(), POLLIN, 0};
  while (::poll(&device, 1, 30'000) > 0) {
    ByteBuffer frame(2048);
    frame.resize(
        static_cast<std::size_t>(std::max(::read(device_.get(), frame.data(), frame.size()), ssize_t{0})));
    if (!is_membership_report(frame)) return frame;
  }
  return {};
}

void Tap::drain() const {
  ByteBuffer frame(2048);
  while (::read(device_.get(), frame.data(), frame.size()) > 0) continue;
}

BridgeTest::Namespace::Namespace() {
  if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("these tests need root");
}

BridgeTest::BridgeTest() : vm_("vm0"), uplink_("uplink0"), side_("side0") {
  // Without addresses of their own the devices send nothing that a test has not sent, but for Tap::read's
  // reports.
  add_bridge("br0");
  for (const char* port : {"vm0", "uplink0", "side0"}) attach(port, "br0");
}

bool BridgeTest::succeeds(const std::string& command) {
  return std::system(command.c_str()) == 0;  // NOLINT(concurrency-mt-unsafe): tests have one thread here
}

void BridgeTest::run(const std::string& command) {
  if (!succeeds(command)) throw std::runtime_error("failed: " + command);
}

// Devices that are up without addresses of their own send nothing but the reports that Tap::read() knows.
// They come up in a second step, because within one the address comes first.

void BridgeTest::add_bridge(const std::string& name) {
  run(fmt::format("ip link add {0} type bridge && ip link set {0} addrgenmode none && ip link set {0} up",
                  name));
}

void BridgeTest::attach(const std::string& tap, const std::string& bridge) {
  run(fmt::format("ip link set {0} addrgenmode none master {1} && ip link set {0} up", tap, bridge));
}

Interface BridgeTest::interface(std::vector<std::string> addresses) {
  return {.mac = kMacText, .bridge = "br0", .tap = "vm0", .vlan = 0, .addresses = std::move(addresses)};
}

void BridgeTest::expect_silence_until_marker(const Tap& from, const Tap& to) {
  const auto marker = from_hex("ffffffffffff 525400aaaaaa 88b5", 60);
  from.write(marker);
  EXPECT_EQ(to.read(), marker);
}

void BridgeTest::expect_forwarding(const Tap& from, const Tap& to) {
  const auto frame = from_hex("525400123456 525400aaaaaa 88b5", 60);
  from.write(frame);
  EXPECT_EQ(to.read(), frame);
}

void BridgeTest::send_as_vm(const Tap& tap) {
  tap.write(from_hex("525400aaaaab 525400123456 88b5", 60));
}

}  // namespace vmigrate::announce
