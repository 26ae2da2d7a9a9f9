#include "hypervisor/monitor.hpp"

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hypervisor/emulation.hpp"

namespace vmigrate::hypervisor {
namespace {

using testing::HasSubstr;

std::string version(int major, int minor) {
  return fmt::format(
      R"({{"return":{{"qemu":{{"micro":22,"minor":{},"major":{}}},"package":""}},"id":"libvirt-12"}})", minor,
      major);
}

TEST(Monitor, AnAnswerIsWhatItReturns) {
  EXPECT_EQ(returned(version(7, 2)).value()["qemu"]["minor"], 2);
  EXPECT_TRUE(returned(R"({"return":{},"id":"libvirt-7"})").value().empty());
}

TEST(Monitor, WhatQemuComplainsOfIsTold) {
  const auto answer =
      returned(R"({"id":"libvirt-7","error":{"class":"GenericError","desc":"no such command"}})");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "QEMU says: no such command");
}

TEST(Monitor, WhatIsNoAnswerIsToldAsItIs) {
  for (const std::string said :
       {"", "{", "[]", "7", R"({"id":"libvirt-7"})", R"({"error":{"desc":7}})", R"(["return"])"}) {
    const auto answer = returned(said);
    ASSERT_FALSE(answer) << said;
    EXPECT_THAT(answer.error().message, HasSubstr("not understood: " + said));
  }
}

TEST(Emulation, QemuBefore9LosesMemory) {
  EXPECT_TRUE(loses_emulated_memory(returned(version(7, 2)).value()));
  EXPECT_TRUE(loses_emulated_memory(returned(version(8, 2)).value()));
  EXPECT_FALSE(loses_emulated_memory(returned(version(9, 0)).value()));
  EXPECT_FALSE(loses_emulated_memory(returned(version(10, 1)).value()));
}

TEST(Emulation, AVersionThatIsNotUnderstoodIsNotTrusted) {
  for (const std::string said :
       {R"({"return":{}})", R"({"return":[9]})", R"({"return":{"qemu":{"major":"9"}}})",
        R"({"return":{"qemu":9}})", R"({"return":null})"}) {
    EXPECT_TRUE(loses_emulated_memory(returned(said).value())) << said;
  }
}

}  // namespace
}  // namespace vmigrate::hypervisor
