#include "announce/bridge_announcer.hpp"

#include <optional>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "announce/frames.hpp"
#include "bridge_fixture.hpp"
#include "bytes.hpp"

namespace vmigrate::announce {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

/// Only the first announcement falls into the test.
BridgeAnnouncerOptions once() {
  return {.schedule = {0ms}, .lease_directory = "/nonexistent"};
}

/// A repetition every millisecond, for longer than any test takes.
BridgeAnnouncerOptions incessantly() {
  BridgeAnnouncerOptions options{.schedule = {}, .lease_directory = "/nonexistent"};
  for (int i = 0; i < 600'000; ++i) options.schedule.emplace_back(i);
  return options;
}

class BridgeAnnouncerTest : public BridgeTest {
 protected:
  static void expect_frames(const Tap& tap, const std::vector<ByteBuffer>& frames) {
    for (const ByteBuffer& frame : frames) EXPECT_EQ(tap.read(), frame);
  }
  /// Another VM that is announced as often tells when a repetition for kMac would have been due.
  void expect_only_the_other_vm(BridgeAnnouncer& announcer) {
    auto other = interface();
    other.mac = "52:54:00:12:34:57";
    other.tap = "side0";
    uplink_.drain();
    ASSERT_TRUE(announcer.announce({other})[0]);
    expect_frames(uplink_, std::vector(10, reverse_arp_request(*MacAddress::parse(other.mac), 0)));
  }
  static Error error_of(BridgeAnnouncer& announcer, const Interface& interface) {
    auto results = announcer.announce({interface});
    if (results.size() != 1 || results[0]) return {.code = ErrorCode::failed, .message = "no error"};
    return results[0].error();
  }
};

TEST_F(BridgeAnnouncerTest, the_first_frames_are_out_byte_for_byte_when_announce_returns) {
  BridgeAnnouncer announcer(once());
  const auto results = announcer.announce({interface({"192.0.2.7", "2001:db8::42"})});
  ASSERT_EQ(results.size(), 1);
  ASSERT_TRUE(results[0]) << results[0].error().message;
  EXPECT_EQ(results[0]->mac, kMacText);
  EXPECT_EQ(results[0]->frames, 3);
  EXPECT_THAT(results[0]->addresses, ElementsAre("192.0.2.7", "2001:db8::42"));
  const auto frames =
      announcement_frames(kMac, {*parse_announceable("192.0.2.7"), *parse_announceable("2001:db8::42")}, 0);
  for (const Tap* tap : {&uplink_, &side_}) {
    expect_frames(*tap, frames);
    expect_silence_until_marker(vm_, *tap);
  }
}

TEST_F(BridgeAnnouncerTest, the_vm_does_not_hear_its_own_announcement) {
  BridgeAnnouncer announcer(once());
  ASSERT_TRUE(announcer.announce({interface({"192.0.2.7"})})[0]);
  expect_silence_until_marker(side_, vm_);
}

TEST_F(BridgeAnnouncerTest, the_bridge_forwards_to_the_vm_instead_of_to_where_it_came_from) {
  send_as_vm(uplink_);
  vm_.drain();
  side_.drain();
  expect_forwarding(side_, uplink_);

  BridgeAnnouncer announcer(once());
  ASSERT_TRUE(announcer.announce({interface()})[0]);
  uplink_.drain();
  expect_forwarding(side_, vm_);
  expect_silence_until_marker(side_, uplink_);
}

TEST_F(BridgeAnnouncerTest, the_bridge_follows_the_vm_when_it_moves_on) {
  BridgeAnnouncer announcer(once());
  ASSERT_TRUE(announcer.announce({interface()})[0]);
  send_as_vm(uplink_);
  uplink_.drain();
  vm_.drain();
  side_.drain();
  expect_forwarding(side_, uplink_);
  expect_silence_until_marker(side_, vm_);
}

TEST_F(BridgeAnnouncerTest, frames_of_a_vlan_leave_with_their_tag) {
  BridgeAnnouncer announcer(once());
  auto tagged = interface({"192.0.2.7"});
  tagged.vlan = 42;
  ASSERT_TRUE(announcer.announce({tagged})[0]);
  expect_frames(uplink_, announcement_frames(kMac, {*parse_announceable("192.0.2.7")}, 42));
}

TEST_F(BridgeAnnouncerTest, a_bridge_with_vlans_tags_the_frames_as_it_does_the_vms_own) {
  if (!succeeds("ip link set br0 type bridge vlan_filtering 1 2>/dev/null")) {
    GTEST_SKIP() << "this kernel is built without CONFIG_BRIDGE_VLAN_FILTERING";
  }
  run("bridge vlan del dev br0 vid 1 self && bridge vlan del dev uplink0 vid 1 && bridge vlan del dev vm0 "
      "vid 1");
  run("bridge vlan add dev uplink0 vid 42 && bridge vlan add dev vm0 vid 42 pvid untagged");
  BridgeAnnouncer announcer(once());
  for (const std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{42}}) {
    auto port_in_vlan = interface();
    port_in_vlan.vlan = vlan;
    ASSERT_TRUE(announcer.announce({port_in_vlan})[0]);
    EXPECT_EQ(uplink_.read(), reverse_arp_request(kMac, 42));
  }
}

TEST_F(BridgeAnnouncerTest, one_interface_that_cannot_be_announced_does_not_hold_back_the_others) {
  add_bridge("br1");
  const Tap second("vm1");
  const Tap far("uplink1");
  for (const char* port : {"vm1", "uplink1"}) attach(port, "br1");
  auto missing = interface();
  missing.bridge = "br7";
  auto other = interface();
  other.mac = "52:54:00:12:34:57";
  other.bridge = "br1";
  other.tap = "vm1";

  BridgeAnnouncer announcer(once());
  const auto results = announcer.announce({interface(), missing, other});
  ASSERT_EQ(results.size(), 3);
  EXPECT_TRUE(results[0]);
  EXPECT_FALSE(results[1]);
  EXPECT_TRUE(results[2]);
  EXPECT_EQ(uplink_.read(), reverse_arp_request(kMac, 0));
  EXPECT_EQ(far.read(), reverse_arp_request(*MacAddress::parse(other.mac), 0));
}

TEST_F(BridgeAnnouncerTest, what_is_missing_is_named) {
  BridgeAnnouncer announcer(once());
  auto wrong = interface();
  wrong.bridge = "br7";
  EXPECT_EQ(error_of(announcer, wrong).code, ErrorCode::not_found);
  EXPECT_THAT(error_of(announcer, wrong).message,
              HasSubstr("cannot announce 52:54:00:12:34:56: the bridge 'br7' does not exist"));
  wrong = interface();
  wrong.tap = "vnet7";
  EXPECT_EQ(error_of(announcer, wrong).code, ErrorCode::not_found);
  EXPECT_THAT(error_of(announcer, wrong).message, HasSubstr("'vnet7' does not exist"));
  wrong.tap = "";
  EXPECT_EQ(error_of(announcer, wrong).code, ErrorCode::not_found);
  wrong.tap = std::string(300, 'v');
  EXPECT_EQ(error_of(announcer, wrong).code, ErrorCode::not_found);
}

TEST_F(BridgeAnnouncerTest, an_interface_on_no_linux_bridge_is_refused_as_what_it_is) {
  BridgeAnnouncer announcer(once());
  auto wrong = interface();
  wrong.bridge = "side0";
  EXPECT_THAT(error_of(announcer, wrong).message, HasSubstr("'side0' is not a Linux bridge"));
  run("ip link set vm0 nomaster");
  EXPECT_THAT(error_of(announcer, interface()).message, HasSubstr("'vm0' is not a port of the bridge 'br0'"));
  expect_silence_until_marker(side_, uplink_);
}

TEST_F(BridgeAnnouncerTest, impossible_macs_and_vlans_are_refused) {
  BridgeAnnouncer announcer(once());
  auto wrong = interface();
  wrong.mac = "ff:ff:ff:ff:ff:ff";
  EXPECT_EQ(error_of(announcer, wrong).code, ErrorCode::usage);
  wrong = interface();
  wrong.vlan = 4095;
  EXPECT_EQ(error_of(announcer, wrong).code, ErrorCode::usage);
}

TEST_F(BridgeAnnouncerTest, the_mac_of_a_device_of_this_host_is_not_announced) {
  run("ip link set br0 address " + kMacText);
  BridgeAnnouncer announcer(once());
  EXPECT_THAT(error_of(announcer, interface()).message, HasSubstr("one of this host's own devices"));
  expect_silence_until_marker(side_, uplink_);
}

TEST_F(BridgeAnnouncerTest, an_entry_that_the_administrator_made_for_the_vm_stays_as_it_is) {
  run("bridge fdb add " + kMacText + " dev vm0 master static");
  BridgeAnnouncer announcer(once());
  ASSERT_TRUE(announcer.announce({interface()})[0]);
  run("bridge fdb show br br0 dev vm0 | grep -q '^" + kMacText + " .*static'");
}

TEST_F(BridgeAnnouncerTest, of_a_peers_addresses_only_possible_ones_and_not_too_many_are_announced) {
  std::vector<std::string> addresses{"255.255.255.255", "ff02::1", "nonsense", "192.0.2.1", "192.0.2.1"};
  for (int i = 2; i < 200; ++i) addresses.push_back(fmt::format("192.0.2.{}", i));
  BridgeAnnouncer announcer(once());
  const auto results = announcer.announce({interface(addresses)});
  ASSERT_TRUE(results[0]);
  EXPECT_EQ(results[0]->frames, 1 + kMostAddresses);
  EXPECT_EQ(results[0]->addresses.front(), "192.0.2.1");
  EXPECT_EQ(results[0]->addresses.back(), "192.0.2.16");
}

TEST_F(BridgeAnnouncerTest, a_port_that_does_not_forward_is_an_error_and_is_announced_once_it_does) {
  run("ip link set vm0 down");
  BridgeAnnouncer announcer(incessantly());
  EXPECT_THAT(error_of(announcer, interface()).message, HasSubstr("does not forward"));
  expect_silence_until_marker(side_, uplink_);
  run("ip link set vm0 up");
  EXPECT_EQ(uplink_.read(), reverse_arp_request(kMac, 0));
}

TEST_F(BridgeAnnouncerTest, every_turn_of_the_schedule_is_sent_whole) {
  BridgeAnnouncer announcer({.schedule = {0ms, 1ms}, .lease_directory = "/nonexistent"});
  ASSERT_TRUE(announcer.announce({interface({"192.0.2.7"})})[0]);
  const auto frames = announcement_frames(kMac, {*parse_announceable("192.0.2.7")}, 0);
  expect_frames(uplink_, frames);
  expect_frames(uplink_, frames);
}

TEST_F(BridgeAnnouncerTest, a_repetition_repairs_an_entry_that_an_echo_has_turned_round) {
  BridgeAnnouncer announcer(incessantly());
  ASSERT_TRUE(announcer.announce({interface()})[0]);
  send_as_vm(uplink_);
  uplink_.drain();
  uplink_.read();
  uplink_.read();  // the second may have been under way before the echo; the third was not
  uplink_.read();
  vm_.drain();
  expect_forwarding(side_, vm_);
}

TEST_F(BridgeAnnouncerTest, nothing_is_sent_for_a_vm_that_was_forgotten) {
  BridgeAnnouncer announcer(incessantly());
  ASSERT_TRUE(announcer.announce({interface()})[0]);
  announcer.forget(kMacText);
  expect_only_the_other_vm(announcer);
}

TEST_F(BridgeAnnouncerTest, nothing_is_sent_for_another_vm_that_got_the_same_device_name) {
  BridgeAnnouncer announcer(incessantly());
  std::optional<Tap> first(std::in_place, "vnet0");
  attach("vnet0", "br0");
  auto going = interface();
  going.tap = "vnet0";
  ASSERT_TRUE(announcer.announce({going})[0]);
  first.reset();
  const Tap next("vnet0");
  attach("vnet0", "br0");
  expect_only_the_other_vm(announcer);
}

TEST_F(BridgeAnnouncerTest, is_destroyed_at_once_with_a_repetition_an_hour_away) {
  BridgeAnnouncer announcer({.schedule = {0ms, 1h}, .lease_directory = "/nonexistent"});
  ASSERT_TRUE(announcer.announce({interface()})[0]);
}

}  // namespace
}  // namespace vmigrate::announce
