#include "migrations.hpp"

#include <utility>

namespace vmigrate::cli {

control::Migration migration_in(control::Phase phase) {
  control::Migration migration;
  migration.set_id("3f2a91c0-1111-4222-8333-444455556666");
  migration.set_vm("web1");
  migration.set_vm_id("aaaaaaaa-1111-4222-8333-444455556666");
  migration.set_role(control::SOURCE);
  migration.set_source_host("hosta");
  migration.set_destination_host("hostb");
  migration.set_phase(phase);
  migration.set_started_unix_ms(1'700'000'000'000);  // 2023-11-14 22:13:20 UTC
  migration.set_requested_by("root (uid 0)");
  migration.set_vm_runs_on("hosta");
  return migration;
}

control::Migration moving_memory() {
  auto migration = migration_in(control::MEMORY);
  auto* progress = migration.mutable_progress();
  progress->set_memory_pass(2);
  progress->set_memory_total(1'073'741'824);
  progress->set_memory_remaining(50'000'000);
  progress->set_guest_rate(412'000'000);
  progress->set_wire_rate(118'000'000);
  progress->set_dirty_rate(31'000'000);
  progress->set_converging(true);
  progress->set_forecast_left_ms(1400);
  progress->set_forecast_pause_ms(18);
  progress->set_max_pause_ms(300);
  progress->set_elapsed_ms(5000);
  return migration;
}

control::Migration completed() {
  auto migration = migration_in(control::COMPLETED);
  migration.set_ended_unix_ms(1'700'000'004'000);
  migration.set_vm_runs_on("hostb");
  migration.mutable_progress()->set_max_pause_ms(300);
  auto* receipt = migration.mutable_receipt();
  receipt->set_total_ms(3400);
  receipt->set_pause_ms(18);
  receipt->set_last_pages_ms(9);
  receipt->set_load_ms(6);
  receipt->set_start_ms(3);
  receipt->set_release_ms(500);
  receipt->set_guest_bytes(1'288'490'189);
  receipt->set_wire_bytes(368'140'054);
  receipt->set_passes(3);
  receipt->set_memory_verified(true);
  auto* announcement = receipt->add_announcements();
  announcement->set_mac("52:54:00:12:34:56");
  announcement->set_frames(4);
  announcement->add_addresses("10.0.0.5");
  announcement->add_addresses("fe80::5054:ff:fe12:3456");
  return migration;
}

control::Migration failed(control::Phase phase, std::uint32_t code) {
  auto migration = migration_in(phase);
  auto* error = migration.mutable_error();
  error->set_code(code);
  error->set_message("web1 cannot be moved to hostb: the link broke");
  error->set_vm_state("web1 runs on hosta");
  error->set_hint("try again");
  return migration;
}

control::Response response_with(control::Migration migration) {
  control::Response response;
  *response.mutable_migration() = std::move(migration);
  return response;
}

control::Response error_response_with(std::uint32_t code) {
  control::Response response;
  *response.mutable_error() = failed(control::FAILED, code).error();
  return response;
}

}  // namespace vmigrate::cli
