#include "announce/frames.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bytes.hpp"
#include "mac.hpp"

namespace vmigrate::announce {
namespace {

const Ipv4Address kIpv4{192, 0, 2, 7};
const Ipv6Address kIpv6{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42};

TEST(Frames, reverse_arp_request_is_what_qemu_sends) {
  EXPECT_EQ(reverse_arp_request(kMac, 0), from_hex("ffffffffffff 525400123456 8035"
                                                   "0001 0800 06 04 0003"
                                                   "525400123456 00000000"
                                                   "525400123456 00000000",
                                                   60));
}

TEST(Frames, a_tag_stands_before_the_type_and_keeps_the_frame_long_enough_without_it) {
  EXPECT_EQ(reverse_arp_request(kMac, 2345), from_hex("ffffffffffff 525400123456 8100 0929 8035"
                                                      "0001 0800 06 04 0003"
                                                      "525400123456 00000000"
                                                      "525400123456 00000000",
                                                      64));
}

TEST(Frames, arp_announcement_names_the_address_as_sender_and_target) {
  EXPECT_EQ(arp_announcement(kMac, kIpv4, 0), from_hex("ffffffffffff 525400123456 0806"
                                                       "0001 0800 06 04 0001"
                                                       "525400123456 c0000207"
                                                       "000000000000 c0000207",
                                                       60));
}

TEST(Frames, neighbour_advertisement_overrides_and_has_the_checksum_hosts_verify) {
  EXPECT_EQ(neighbour_advertisement(kMac, kIpv6, 0), from_hex("333300000001 525400123456 86dd"
                                                              "60000000 0020 3a ff"
                                                              "20010db8000000000000000000000042"
                                                              "ff020000000000000000000000000001"
                                                              "88 00 73ed 20000000"
                                                              "20010db8000000000000000000000042"
                                                              "02 01 525400123456"));
}

TEST(Frames, one_announcement_is_the_reverse_request_and_a_frame_for_each_address_all_tagged_alike) {
  EXPECT_THAT(announcement_frames(kMac, {kIpv4, kIpv6}, 7),
              testing::ElementsAre(reverse_arp_request(kMac, 7), arp_announcement(kMac, kIpv4, 7),
                                   neighbour_advertisement(kMac, kIpv6, 7)));
}

}  // namespace
}  // namespace vmigrate::announce
