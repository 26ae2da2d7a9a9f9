#include "hypervisor/emulation.hpp"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace vmigrate::hypervisor {
namespace {

std::string version(int major, int minor) {
  return fmt::format(
      R"({{"return":{{"qemu":{{"micro":22,"minor":{},"major":{}}},"package":"Debian"}},"id":"libvirt-12"}})",
      minor, major);
}

std::string memory(std::uint64_t base, std::uint64_t plugged) {
  return fmt::format(R"({{"return":{{"base-memory":{},"plugged-memory":{}}},"id":"libvirt-13"}})", base,
                     plugged);
}

constexpr std::uint64_t kWhole = std::uint64_t{256} << 20;
constexpr std::uint64_t kUneven = kWhole - 8192;

TEST(Emulation, QemuBefore9LosesMemoryThatItCollects64PagesAtATime) {
  EXPECT_FALSE(keeps_emulated_memory(version(7, 2), memory(kWhole, 0)));
  EXPECT_FALSE(keeps_emulated_memory(version(8, 2), memory(kWhole, 0)));
  EXPECT_FALSE(keeps_emulated_memory(version(8, 2), memory(256 << 10, 0)));
  EXPECT_TRUE(keeps_emulated_memory(version(7, 2), memory(kUneven, 0)));
  // A module beside it is a block of its own.
  EXPECT_FALSE(keeps_emulated_memory(version(7, 2), memory(kUneven, kWhole)));
}

TEST(Emulation, ANewerQemuKeepsIt) {
  EXPECT_TRUE(keeps_emulated_memory(version(9, 0), memory(kWhole, 0)));
  EXPECT_TRUE(keeps_emulated_memory(version(10, 1), memory(kWhole, kWhole)));
}

TEST(Emulation, WhatIsNotUnderstoodIsNotTrusted) {
  for (const std::string answer :
       {"", "{", "[]", "7", R"({"id":"libvirt-7","error":{"class":"GenericError"}})",
        R"({"return":{"qemu":{"major":"9"}}})", R"({"return":[9]})"}) {
    EXPECT_FALSE(keeps_emulated_memory(answer, memory(kWhole, 0))) << answer;
    EXPECT_FALSE(keeps_emulated_memory(version(7, 2), answer)) << answer;
  }
}

}  // namespace
}  // namespace vmigrate::hypervisor
