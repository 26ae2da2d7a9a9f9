#include "announce/address_observer.hpp"

#include <random>

#include <gtest/gtest.h>

#include "announce/frames.hpp"
#include "bytes.hpp"
#include "mac.hpp"

namespace vmigrate::announce {
namespace {

std::string shown(ByteView frame) {
  const auto address = address_shown_by(frame, kMac);
  return address ? to_string(*address) : "";
}

std::string arp(const std::string& sender_mac, const std::string& sender) {
  return "ffffffffffff 525400123456 0806 0001 0800 06 04 0002" + sender_mac + sender +
         "525400999999 c0000201";
}

std::string ipv4(const std::string& hop_limit, const std::string& source) {
  return "525400999999 525400123456 0800 45 00 0054 0000 4000" + hop_limit + "06 0000" + source + "c0000201";
}

/// Up to the message of the next header.
std::string ipv6(const std::string& next_header, const std::string& hop_limit, const std::string& source) {
  return "333300000001 525400123456 86dd 60000000 0020" + next_header + hop_limit + source +
         "ff020000000000000000000000000001";
}

const std::string kGlobal = "20010db8000000000000000000000042";
const std::string kLinkLocal = "fe80000000000000505400fffe123456";

std::string advertisement(const std::string& flags, const std::string& target) {
  return ipv6("3a", "ff", kLinkLocal) + "88 00 0000" + flags + "000000" + target + "0201525400123456";
}

TEST(AddressShownBy, arp_of_the_vm_shows_the_sender) {
  EXPECT_EQ(shown(from_hex(arp("525400123456", "c0000207"))), "192.0.2.7");
}

TEST(AddressShownBy, arp_probes_and_arp_in_another_name_show_nothing) {
  EXPECT_EQ(shown(from_hex(arp("525400123456", "00000000"))), "");
  EXPECT_EQ(shown(from_hex(arp("525400123457", "c0000207"))), "");
}

TEST(AddressShownBy, frames_of_others_show_nothing) {
  auto frame = from_hex(arp("525400123456", "c0000207"));
  frame[11] ^= std::byte{1};
  EXPECT_EQ(shown(frame), "");
}

TEST(AddressShownBy, packets_show_their_source_unless_a_router_has_forwarded_them) {
  for (const char* own : {"40", "80", "ff"}) {
    EXPECT_EQ(shown(from_hex(ipv4(own, "c0000207"))), "192.0.2.7");
    EXPECT_EQ(shown(from_hex(ipv6("06", own, kGlobal))), "2001:db8::42");
  }
  for (const char* forwarded : {"3f", "7f", "fe", "01"}) {
    EXPECT_EQ(shown(from_hex(ipv4(forwarded, "c0000207"))), "");
    EXPECT_EQ(shown(from_hex(ipv6("06", forwarded, kGlobal))), "");
  }
}

TEST(AddressShownBy, a_link_local_address_is_taken_only_when_it_is_no_routers) {
  EXPECT_EQ(shown(from_hex(advertisement("20", kLinkLocal))), "fe80::5054:ff:fe12:3456");
  EXPECT_EQ(shown(from_hex(advertisement("a0", kLinkLocal))), "");
  EXPECT_EQ(shown(from_hex(advertisement("a0", kGlobal))), "2001:db8::42");
  EXPECT_EQ(shown(from_hex(ipv6("06", "40", kLinkLocal))), "");
  EXPECT_EQ(shown(from_hex(ipv6("3a", "ff", kLinkLocal) + "87 00 0000 00000000" + kGlobal)), "")
      << "solicitation";
}

TEST(AddressShownBy, a_solicitation_shows_its_source_and_not_whom_it_asks_for) {
  const std::string wanted = "20010db8000000000000000000000099";
  EXPECT_EQ(shown(from_hex(ipv6("3a", "ff", kGlobal) + "87 00 0000 00000000" + wanted)), "2001:db8::42");
}

TEST(AddressShownBy, what_is_announced_is_what_would_be_heard) {
  for (const char* text : {"192.0.2.7", "2001:db8::42", "fe80::5054:ff:fe12:3456"}) {
    const auto frame = announcement_frames(kMac, {*parse_announceable(text)}, 0).back();
    EXPECT_LE(frame.size(), kObservedBytes);
    EXPECT_EQ(shown(frame), text);
  }
}

TEST(AddressShownBy, cut_off_and_random_frames_show_nothing_worse_than_an_address) {
  for (const auto& text :
       {arp("525400123456", "c0000207"), ipv4("40", "c0000207"), advertisement("20", kLinkLocal)}) {
    const auto whole = from_hex(text);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      // A copy of its own, so that a read behind the end is one behind an allocation.
      const ByteBuffer cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      (void)address_shown_by(cut, kMac);
    }
  }
  const auto advertised = from_hex(advertisement("20", kLinkLocal));
  EXPECT_EQ(shown(ByteView(advertised).first(77)), "");
  std::mt19937 random(1);
  for (int round = 0; round < 100'000; ++round) {
    ByteBuffer frame =
        from_hex(round % 2 == 0 ? ipv6("3a", "ff", kLinkLocal) : arp("525400123456", "c0000207"));
    frame.resize(14 + random() % 80);
    for (int change = 0; change < 4; ++change)
      frame[12 + random() % (frame.size() - 12)] = std::byte(random() & 255);
    const auto address = address_shown_by(frame, kMac);
    EXPECT_TRUE(!address || can_be_announced(*address));
  }
}

}  // namespace
}  // namespace vmigrate::announce
