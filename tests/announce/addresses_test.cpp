#include "announce/addresses.hpp"

#include <gtest/gtest.h>

namespace vmigrate::announce {
namespace {

TEST(Addresses, a_mac_address_reads_in_either_case_and_is_told_in_lower_case) {
  const auto mac = MacAddress::parse("52:54:00:aB:Cd:0f");
  ASSERT_TRUE(mac);
  EXPECT_EQ(to_string(*mac), "52:54:00:ab:cd:0f");
}

TEST(Addresses, what_no_single_interface_can_have_is_refused_as_its_mac) {
  for (const char* text : {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
                           "52-54-00-12-34-56", "52:54:00:12:34:5g", "52:54:00:12:34:-1", "ff:ff:ff:ff:ff:ff",
                           "01:00:5e:00:00:01", "00:00:00:00:00:00", "52:54:00: 1:34:56"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(Addresses, an_address_that_a_host_can_have_reads_and_is_told_in_its_short_form) {
  for (const char* text :
       {"192.0.2.7", "10.0.0.1", "169.254.3.4", "2001:db8::42", "fe80::5054:ff:fe12:3456"}) {
    const auto address = parse_announceable(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(Addresses, what_would_harm_others_when_announced_is_left_out) {
  for (const char* text :
       {"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "ff02::1",
        "::ffff:192.0.2.7", "192.0.2", "192.0.2.7 ", "192.0.2.7/24", "fe80::1%br0", "host", "",
        "2001:db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0042"}) {
    EXPECT_FALSE(parse_announceable(text)) << text;
  }
}

TEST(Addresses, only_whole_addresses_are_read_from_bytes) {
  const std::vector<std::byte> bytes(17, std::byte{0x20});
  for (const std::size_t size : {0UL, 3UL, 5UL, 15UL, 17UL})
    EXPECT_FALSE(read_announceable({bytes.data(), size}));
  EXPECT_TRUE(read_announceable({bytes.data(), 4}));
  EXPECT_TRUE(read_announceable({bytes.data(), 16}));
}

TEST(Addresses, no_more_are_remembered_than_are_announced_and_none_twice) {
  std::vector<IpAddress> known;
  for (int round = 0; round < 2; ++round) {
    for (std::uint8_t i = 1; i < 100; ++i) remember(known, Ipv4Address{192, 0, 2, i});
  }
  ASSERT_EQ(known.size(), kMostAddresses);
  EXPECT_EQ(to_string(known.back()), "192.0.2.16");
}

}  // namespace
}  // namespace vmigrate::announce
