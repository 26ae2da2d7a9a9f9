#include "announce/leases.hpp"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mac.hpp"

namespace vmigrate::announce {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto kNow = 1'700'000'000s;

std::string lease(const std::string& address, const std::string& mac, std::int64_t expiry) {
  return fmt::format(R"({{"ip-address": "{}", "mac-address": "{}", "hostname": "web1", "expiry-time": {}}})",
                     address, mac, expiry);
}

TEST(Leases, those_of_the_mac_that_still_hold_are_found) {
  const std::string status = fmt::format(
      "[{}, {}, {}, {}]", lease("192.0.2.7", "52:54:00:12:34:56", 1'700'000'100),
      lease("192.0.2.8", "52:54:00:12:34:57", 1'700'000'100),
      lease("192.0.2.9", "52:54:00:12:34:56", 1'699'999'999), lease("2001:db8::7", "52:54:00:12:34:56", 0));
  EXPECT_THAT(leases_in(status, kMac, kNow), ElementsAre(*parse_announceable("192.0.2.7"),  //
                                                         *parse_announceable("2001:db8::7")));
}

TEST(Leases, what_is_no_list_of_leases_has_none) {
  for (const char* status :
       {"", "{", "null", "7", "{}", "[]", "[[[]]]", R"(["52:54:00:12:34:56"])",
        R"([{"mac-address": 7, "ip-address": "192.0.2.7"}])",
        R"([{"mac-address": "52:54:00:12:34:56", "ip-address": ["192.0.2.7"]}])",
        R"([{"mac-address": "52:54:00:12:34:56", "ip-address": "255.255.255.255"}])",
        R"([{"mac-address": "52:54:00:12:34:56", "ip-address": "192.0.2.7"}] and more)"}) {
    EXPECT_THAT(leases_in(status, kMac, kNow), IsEmpty()) << status;
  }
  EXPECT_THAT(leases_in(std::string(1024UL * 1024, '['), kMac, kNow), IsEmpty());
}

TEST(Leases, are_read_from_the_file_of_the_bridge_and_from_nowhere_else) {
  const auto directory =
      std::filesystem::temp_directory_path() / fmt::format("vmigrate-leases-{}", ::getpid());
  std::filesystem::create_directories(directory / "inner");
  const std::string status = fmt::format("[{}]", lease("192.0.2.7", "52:54:00:12:34:56", 0));
  std::ofstream(directory / "virbr7.status") << status;
  std::ofstream(directory / "large.status") << status << std::string(1024UL * 1024, ' ');
  const auto count = [&](const std::filesystem::path& folder, const std::string& bridge) {
    return leases_of(folder.string(), bridge, kMac, kNow).size();
  };
  EXPECT_EQ(count(directory, "virbr7"), 1);
  EXPECT_EQ(count(directory, "virbr8"), 0);
  EXPECT_EQ(count(directory / "inner", "../virbr7"), 0);
  EXPECT_EQ(count(directory, "large"), 0);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace vmigrate::announce
