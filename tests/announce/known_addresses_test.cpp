#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "announce/bridge_announcer.hpp"
#include "announce/frames.hpp"
#include "bridge_fixture.hpp"
#include "bytes.hpp"

namespace vmigrate::announce {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class KnownAddressesTest : public BridgeTest {
 protected:
  KnownAddressesTest()
      : leases_(std::filesystem::temp_directory_path() / fmt::format("vmigrate-known-{}", ::getpid())),
        announcer_({.schedule = {Milliseconds(0)}, .lease_directory = leases_.string()}) {
    std::filesystem::create_directories(leases_);
  }
  ~KnownAddressesTest() override { std::filesystem::remove_all(leases_); }

  std::vector<std::string> known() { return announcer_.addresses_of(kMacText, "br0"); }
  /// Waits until the observer has heard as many; ctest's time limit is the limit.
  std::vector<std::string> heard(std::size_t count) {
    while (known().size() < count) std::this_thread::yield();
    return known();
  }
  static ByteBuffer frame_showing(const MacAddress& mac, const std::string& address, std::uint16_t vlan = 0) {
    return announcement_frames(mac, {*parse_announceable(address)}, vlan).back();
  }

  std::filesystem::path leases_;
  BridgeAnnouncer announcer_;
};

TEST_F(KnownAddressesTest, are_those_of_the_neighbour_tables_of_the_bridge) {
  run("ip neigh add 192.0.2.7 lladdr 52:54:00:12:34:56 dev br0 nud stale");
  run("ip neigh add 192.0.2.8 lladdr 52:54:00:12:34:57 dev br0 nud reachable");
  run("ip neigh add 192.0.2.9 lladdr 52:54:00:12:34:56 dev br0 nud failed");
  run("ip neigh add 192.0.2.10 lladdr 52:54:00:12:34:56 dev vm0 nud reachable");
  run("ip neigh add 2001:db8::42 lladdr 52:54:00:12:34:56 dev br0 nud permanent");
  run("ip neigh add fe80::7 lladdr 52:54:00:12:34:56 dev br0 nud reachable");
  EXPECT_THAT(known(), UnorderedElementsAre("192.0.2.7", "2001:db8::42", "fe80::7"));
}

TEST_F(KnownAddressesTest, leave_out_a_routers_link_local_address) {
  run("ip neigh add fe80::7 lladdr 52:54:00:12:34:56 dev br0 router nud reachable");
  run("ip neigh add 2001:db8::42 lladdr 52:54:00:12:34:56 dev br0 router nud reachable");
  EXPECT_THAT(known(), ElementsAre("2001:db8::42"));
}

TEST_F(KnownAddressesTest, are_no_more_than_are_announced) {
  for (int i = 1; i < 40; ++i) {
    run(fmt::format("ip neigh add 192.0.2.{} lladdr 52:54:00:12:34:56 dev br0 nud stale", i));
  }
  EXPECT_EQ(known().size(), kMostAddresses);
}

TEST_F(KnownAddressesTest, are_those_of_leases) {
  std::ofstream(leases_ / "br0.status")
      << R"([{"mac-address": "52:54:00:12:34:56", "ip-address": "192.0.2.7"}])";
  EXPECT_THAT(known(), ElementsAre("192.0.2.7"));
}

TEST_F(KnownAddressesTest, are_none_where_nothing_is_known) {
  EXPECT_THAT(known(), IsEmpty());
  EXPECT_THAT(announcer_.addresses_of("nonsense", "br0"), IsEmpty());
  EXPECT_THAT(announcer_.addresses_of(kMacText, "br7"), IsEmpty());
  EXPECT_THAT(announcer_.addresses_of(kMacText, std::string(300, 'b')), IsEmpty());
}

TEST_F(KnownAddressesTest, are_heard_from_the_vm_while_it_is_observed) {
  ASSERT_TRUE(announcer_.observe(interface()));
  const MacAddress other{{0x52, 0x54, 0x00, 0x12, 0x34, 0x57}};
  vm_.write(frame_showing(other, "192.0.2.66"));
  vm_.write(frame_showing(kMac, "192.0.2.67", 42));
  uplink_.write(frame_showing(kMac, "192.0.2.68"));
  vm_.write(frame_showing(kMac, "2001:db8::42"));
  vm_.write(frame_showing(kMac, "192.0.2.7"));
  EXPECT_THAT(heard(2), ElementsAre("2001:db8::42", "192.0.2.7"));
}

TEST_F(KnownAddressesTest, are_heard_from_ordinary_packets_too_though_not_from_every_one) {
  ASSERT_TRUE(announcer_.observe(interface()));
  const auto packet =
      from_hex("525400999999 525400123456 0800 45 00 002e 0000 4000 40 11 0000 c0000207 c0000201", 60);
  while (known().empty()) vm_.write(packet);
  EXPECT_THAT(known(), ElementsAre("192.0.2.7"));
}

TEST_F(KnownAddressesTest, are_bounded_whatever_the_vm_sends) {
  ASSERT_TRUE(announcer_.observe(interface()));
  for (int i = 1; i < 40; ++i) vm_.write(frame_showing(kMac, fmt::format("192.0.2.{}", i)));
  EXPECT_EQ(heard(kMostAddresses).back(), "192.0.2.16");
}

TEST_F(KnownAddressesTest, are_not_heard_any_more_of_a_vm_that_was_forgotten) {
  ASSERT_TRUE(announcer_.observe(interface()));
  vm_.write(frame_showing(kMac, "192.0.2.7"));
  heard(1);
  announcer_.forget(kMacText);
  EXPECT_THAT(known(), IsEmpty());
}

TEST_F(KnownAddressesTest, cannot_be_heard_on_a_device_that_does_not_exist) {
  auto missing = interface();
  missing.tap = "vnet7";
  const auto observing = announcer_.observe(missing);
  ASSERT_FALSE(observing);
  EXPECT_THAT(observing.error().message, testing::HasSubstr("vnet7"));
}

TEST_F(KnownAddressesTest, observing_survives_that_the_device_goes_away) {
  {
    const Tap gone("vnet0");
    run("ip link set vnet0 up");
    auto going = interface();
    going.tap = "vnet0";
    ASSERT_TRUE(announcer_.observe(going));
  }
  EXPECT_THAT(known(), IsEmpty());
}

}  // namespace
}  // namespace vmigrate::announce
