#include "cli/render.hpp"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrations.hpp"

namespace vmigrate::cli {
namespace {

const Style kPlain{};

class Render : public testing::Test {
 protected:
  Render() {
    // One thread. NOLINTNEXTLINE(concurrency-mt-unsafe)
    ::setenv("TZ", "UTC", 1);
  }
};

TEST_F(Render, AReceiptSaysWhatTheMigrationCost) {
  EXPECT_EQ(render_receipt(completed(), kPlain),
            "web1 runs on hostb: moved in 3.4 s, paused for 18 ms\n"
            "  pause     18 ms: last pages 9 ms, their way 0 ms, load 6 ms, start 3 ms (300 ms allowed)\n"
            "  memory    1.2 GiB in 3 passes, 351 MiB on the wire (3.5x), 108 MB/s\n"
            "  checksum  the memory stream was the same on both hosts\n"
            "  network   52:54:00:12:34:56 announced with 10.0.0.5 and fe80::5054:ff:fe12:3456 (4 frames)\n");
}

TEST_F(Render, AReceiptSaysWhatWentLessWell) {
  auto migration = completed();
  auto* receipt = migration.mutable_receipt();
  receipt->set_memory_verified(false);
  receipt->set_passes(1);
  receipt->mutable_announcements(0)->set_problem("its bridge is an Open vSwitch");
  receipt->clear_load_ms();
  EXPECT_EQ(render_receipt(migration, kPlain),
            "web1 runs on hostb: moved in 3.4 s, paused for 18 ms\n"
            "  pause     18 ms: last pages 9 ms, their way 0 ms, load 0 ms, start 3 ms (300 ms allowed)\n"
            "  memory    1.2 GiB in 1 pass, 351 MiB on the wire (3.5x), 108 MB/s\n"
            "  checksum  not compared\n"
            "  network   52:54:00:12:34:56 not announced: its bridge is an Open vSwitch\n");
}

TEST_F(Render, AReceiptSaysHowFarTheVmWasSlowed) {
  auto migration = completed();
  migration.mutable_receipt()->set_slowdown_percent(20);
  EXPECT_THAT(render_receipt(migration, kPlain),
              testing::HasSubstr("\n  slowed    by up to 20%, to converge\n"));
}

TEST_F(Render, AReceiptSaysHowOftenTheLinkWasLost) {
  auto migration = completed();
  EXPECT_THAT(render_receipt(migration, kPlain), testing::Not(testing::HasSubstr("  link ")));
  migration.mutable_receipt()->set_link_stalls(1);
  migration.mutable_receipt()->set_link_stalled_ms(6'100);
  EXPECT_THAT(render_receipt(migration, kPlain),
              testing::HasSubstr("\n  link      lost once and came back, 6.1 s in all\n"));
  migration.mutable_receipt()->set_link_stalls(3);
  EXPECT_THAT(render_receipt(migration, kPlain), testing::HasSubstr("lost 3 times and came back"));
}

TEST_F(Render, AReceiptSetsThePauseBesideItsForecast) {
  auto migration = completed();
  migration.mutable_receipt()->set_expected_pause_ms(25);
  EXPECT_THAT(render_receipt(migration, kPlain),
              testing::HasSubstr(", start 3 ms (~25 ms expected, 300 ms allowed)\n"));
}

TEST_F(Render, WithoutAReceiptTheOutcomeIsSaid) {
  auto migration = completed();
  migration.clear_receipt();
  EXPECT_EQ(render_receipt(migration, kPlain), "web1 runs on hostb\n");
}

TEST_F(Render, AnErrorSaysWhatWhereTheVmIsAndWhatToDo) {
  auto error = failed(control::FAILED, 1).error();
  EXPECT_EQ(render_error(error, kPlain),
            "vmigrate: web1 cannot be moved to hostb: the link broke\n"
            "  now: web1 runs on hosta\n"
            "  hint: try again\n");
  error.clear_vm_state();
  error.clear_hint();
  EXPECT_EQ(render_error(error, kPlain), "vmigrate: web1 cannot be moved to hostb: the link broke\n");
  EXPECT_EQ(render_error(error, {.colour = true}),
            "\x1b[31mvmigrate:\x1b[0m web1 cannot be moved to hostb: the link broke\n");
}

TEST_F(Render, AMigrationUnderWayIsShownWithItsProgress) {
  EXPECT_EQ(render_migration(moving_memory(), kPlain),
            "web1: hosta → hostb\n"
            "  phase     memory, pass 2\n"
            "  runs on   hosta\n"
            "  id        3f2a91c0-1111-4222-8333-444455556666\n"
            "  started   2023-11-14 22:13:20 by root (uid 0)\n"
            "  progress  412 MB/s guest (118 MB/s on the wire, 3.5x), dirty 31.0 MB/s, converging: ~1.4 s "
            "left, pause "
            "~18 ms of 300 ms allowed\n");
}

TEST_F(Render, AMigrationInDoubtSaysThatNobodyKnows) {
  auto migration = failed(control::NEEDS_ATTENTION, 9);
  migration.clear_vm_runs_on();
  EXPECT_EQ(render_migration(migration, kPlain),
            "web1: hosta → hostb\n"
            "  phase     needs attention\n"
            "  runs on   nobody can say at the moment\n"
            "  id        3f2a91c0-1111-4222-8333-444455556666\n"
            "  started   2023-11-14 22:13:20 by root (uid 0)\n"
            "  why       web1 cannot be moved to hostb: the link broke\n"
            "  hint      try again\n");
}

TEST_F(Render, ACompletedMigrationIsShownWithItsReceipt) {
  EXPECT_EQ(render_migration(completed(), kPlain),
            "web1: hosta → hostb\n"
            "  phase     completed\n"
            "  runs on   hostb\n"
            "  id        3f2a91c0-1111-4222-8333-444455556666\n"
            "  started   2023-11-14 22:13:20 by root (uid 0)\n"
            "  ended     2023-11-14 22:13:24\n"
            "  total     3.4 s\n"
            "  pause     18 ms: last pages 9 ms, their way 0 ms, load 6 ms, start 3 ms (300 ms allowed)\n"
            "  memory    1.2 GiB in 3 passes, 351 MiB on the wire (3.5x), 108 MB/s\n"
            "  checksum  the memory stream was the same on both hosts\n"
            "  network   52:54:00:12:34:56 announced with 10.0.0.5 and fe80::5054:ff:fe12:3456 (4 frames)\n");
}

TEST_F(Render, VmsAreListedWithWhatMoves) {
  control::VmList list;
  auto* vm = list.add_vms();
  vm->set_name("web1");
  vm->set_state("running");
  *vm->mutable_migration() = moving_memory();
  vm = list.add_vms();
  vm->set_name("database");
  vm->set_state("needs attention");
  *vm->mutable_migration() = failed(control::NEEDS_ATTENTION, 9);
  vm->mutable_migration()->set_role(control::DESTINATION);
  vm = list.add_vms();
  vm->set_name("old");
  vm->set_state("shut off");
  EXPECT_EQ(render_vms(list, kPlain),
            "NAME      STATE            MIGRATION\n"
            "web1      running          → hostb: memory, pass 2\n"
            "database  needs attention  from hosta: needs attention\n"
            "old       shut off         -\n");
  EXPECT_EQ(render_vms({}, kPlain), "there are no VMs on this host\n");
}

TEST_F(Render, HistoryIsListedWithResults) {
  control::MigrationList list;
  *list.add_migrations() = completed();
  *list.add_migrations() = failed(control::CANCELLED, 6);
  EXPECT_EQ(render_history(list, kPlain),
            "STARTED              VM    FROM   TO     RESULT     TOTAL  PAUSE  ID        BY\n"
            "2023-11-14 22:13:20  web1  hosta  hostb  completed  3.4 s  18 ms  3f2a91c0  root (uid 0)\n"
            "2023-11-14 22:13:20  web1  hosta  hostb  cancelled  -      -      3f2a91c0  root (uid 0)\n");
  EXPECT_EQ(render_history({}, kPlain), "there were no migrations yet\n");
}

TEST_F(Render, HostsAreListedWithTheirProblems) {
  control::HostList list;
  auto* host = list.add_hosts();
  host->set_name("hostb");
  host->set_address("10.0.0.2:16510");
  host->set_reachable(true);
  host->set_version("0.1.0");
  host->set_round_trip_us(1234);
  host = list.add_hosts();
  host->set_name("hostc");
  host->set_address("10.0.0.3:16510");
  host->set_problem("connection refused");
  EXPECT_EQ(render_hosts(list, kPlain),
            "NAME   ADDRESS         STATE        VERSION  ANSWERED IN  PROBLEM\n"
            "hostb  10.0.0.2:16510  reachable    0.1.0    1.2 ms       -\n"
            "hostc  10.0.0.3:16510  unreachable  -        -            connection refused\n");
}

TEST_F(Render, ACheckSaysWhyNotForEachHost) {
  control::CheckReport report;
  report.set_vm("web1");
  auto* host = report.add_hosts();
  host->set_host("hostb");
  host->set_possible(true);
  host->set_memory_total(1'073'741'824);
  host->set_forecast_total_ms(9000);
  host = report.add_hosts();
  host->set_host("hostc");
  auto* finding = host->add_findings();
  finding->set_message("hostc has no bridge br0");
  finding->set_hint("create it, or change the VM's interface");
  host->add_findings()->set_message("hostc has 1.0 GiB of free memory");
  EXPECT_EQ(render_check(report, kPlain),
            "web1 → hostb: possible, takes about 9.0 s (1.0 GiB of memory)\n"
            "web1 → hostc: not possible\n"
            "  hostc has no bridge br0\n"
            "    hint: create it, or change the VM's interface\n"
            "  hostc has 1.0 GiB of free memory\n");
}

TEST_F(Render, TheDoctorGivesHintsOnlyWhereTheyAreNeeded) {
  control::DoctorReport report;
  const auto add = [&](const char* subject, control::DoctorItem::Verdict verdict) {
    auto* item = report.add_items();
    item->set_subject(subject);
    item->set_verdict(verdict);
    item->set_finding("as found");
    item->set_hint("as advised");
  };
  add("libvirt", control::DoctorItem::GOOD);
  add("certificate", control::DoctorItem::WARNING);
  add("peer hostb", control::DoctorItem::BAD);
  EXPECT_EQ(render_doctor(report, kPlain),
            "good     libvirt: as found\n"
            "warning  certificate: as found\n"
            "         hint: as advised\n"
            "bad      peer hostb: as found\n"
            "         hint: as advised\n");
}

}  // namespace
}  // namespace vmigrate::cli
