#include "daemon/experience.hpp"

#include <gtest/gtest.h>

namespace vmigrate::daemon {
namespace {

control::Migration move(const std::string& vm, const std::string& host, std::uint32_t total,
                        std::uint32_t pause, std::uint64_t guest_bytes) {
  control::Migration migration;
  migration.set_vm_id(vm);
  migration.set_role(control::SOURCE);
  migration.set_phase(control::COMPLETED);
  migration.set_destination_host(host);
  migration.mutable_receipt()->set_total_ms(total);
  migration.mutable_receipt()->set_pause_ms(pause);
  migration.mutable_receipt()->set_guest_bytes(guest_bytes);
  return migration;
}

control::HostCheck to_hostb(const std::vector<control::Migration>& history) {
  control::HostCheck host;
  host.set_host("hostb");
  host.set_memory_total(2'000'000);
  add_forecast(history, "web1", &host);
  return host;
}

TEST(Experience, WhereNothingHasMovedNothingIsForecast) {
  auto arrived = move("web1", "hostb", 900, 30, 1'000'000);
  arrived.set_role(control::DESTINATION);
  auto failed = move("web1", "hostb", 900, 30, 1'000'000);
  failed.set_phase(control::FAILED);
  const auto host = to_hostb({arrived, failed, move("web1", "hostc", 900, 30, 1'000'000)});
  EXPECT_EQ(host.forecast_total_ms(), 0U);
  EXPECT_EQ(host.forecast_pause_ms(), 0U);
}

TEST(Experience, TheLastMoveOfTheVmItselfCountsMost) {
  const auto host = to_hostb({move("database", "hostb", 5'000, 90, 1'000'000),
                              move("web1", "hostb", 900, 30, 1'000'000), move("web1", "hostb", 7'000, 7, 1)});
  EXPECT_EQ(host.forecast_total_ms(), 900U);
  EXPECT_EQ(host.forecast_pause_ms(), 30U);
}

TEST(Experience, AnotherVmsMoveCountsInProportionToTheMemory) {
  const auto host = to_hostb({move("database", "hostb", 5'000, 90, 1'000'000)});
  EXPECT_EQ(host.forecast_total_ms(), 10'000U);
  EXPECT_EQ(host.forecast_pause_ms(), 90U);
}

}  // namespace
}  // namespace vmigrate::daemon
