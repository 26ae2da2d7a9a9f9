#include "announce/frame_injector.hpp"

#include "announce/frames.hpp"
#include "bridge_fixture.hpp"

namespace vmigrate::announce {
namespace {

class FrameInjectorTest : public BridgeTest {
 protected:
  FrameInjectorTest()
      : kernel_(NetlinkSocket::open().value()), where_(find_bridge_port(kernel_, "br0", "vm0").value()) {}

  NetlinkSocket kernel_;
  BridgePort where_;
};

TEST_F(FrameInjectorTest, the_bridge_learns_from_what_is_injected_at_a_port) {
  send_as_vm(uplink_);
  vm_.drain();
  FrameInjector injector;
  ASSERT_TRUE(injector.inject(where_, reverse_arp_request(kMac, 0)));
  EXPECT_EQ(uplink_.read(), reverse_arp_request(kMac, 0));
  expect_forwarding(uplink_, vm_);
}

TEST_F(FrameInjectorTest, where_the_kernel_cannot_do_that_frames_leave_through_the_bridge_device) {
  FrameInjector injector;
  injector.use_bridge_device();
  for (const std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{42}}) {
    ASSERT_TRUE(injector.inject(where_, reverse_arp_request(kMac, vlan)));
    EXPECT_EQ(uplink_.read(), reverse_arp_request(kMac, vlan));
  }
}

TEST_F(FrameInjectorTest, there_the_forwarding_entry_alone_leads_to_the_vm) {
  send_as_vm(uplink_);
  vm_.drain();
  side_.drain();
  ASSERT_TRUE(point_forwarding_entry(kernel_, where_, kMac));
  expect_forwarding(side_, vm_);
  run("bridge fdb show br br0 dev vm0 | grep '52:54:00:12:34:56' | grep -qv 'permanent\\|static'");
}

TEST_F(FrameInjectorTest, a_port_that_is_gone_is_an_error_and_nothing_is_sent) {
  where_.port = 4242;
  FrameInjector injector;
  EXPECT_FALSE(injector.inject(where_, reverse_arp_request(kMac, 0)));
  expect_silence_until_marker(side_, uplink_);
}

}  // namespace
}  // namespace vmigrate::announce
