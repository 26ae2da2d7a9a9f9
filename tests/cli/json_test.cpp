#include "cli/json.hpp"

#include <gtest/gtest.h>

#include "migrations.hpp"

namespace vmigrate::cli {
namespace {

constexpr auto kCompleted = R"json({
  "id": "3f2a91c0-1111-4222-8333-444455556666",
  "vm": "web1",
  "vm_id": "aaaaaaaa-1111-4222-8333-444455556666",
  "role": "SOURCE",
  "source_host": "hosta",
  "destination_host": "hostb",
  "phase": "COMPLETED",
  "started_unix_ms": 1700000000000,
  "ended_unix_ms": 1700000004000,
  "receipt": {
    "total_ms": 3400,
    "pause_ms": 18,
    "last_pages_ms": 9,
    "arrival_ms": 0,
    "load_ms": 6,
    "start_ms": 3,
    "guest_bytes": 1288490189,
    "wire_bytes": 368140054,
    "passes": 3,
    "memory_verified": true,
    "announcements": [
      {
        "mac": "52:54:00:12:34:56",
        "frames": 4,
        "addresses": [
          "10.0.0.5",
          "fe80::5054:ff:fe12:3456"
        ],
        "problem": ""
      }
    ],
    "release_ms": 500,
    "slowdown_percent": 0,
    "expected_pause_ms": 0,
    "link_stalls": 0,
    "link_stalled_ms": 0
  },
  "requested_by": "root (uid 0)",
  "vm_runs_on": "hostb",
  "vmm": ""
})json";

TEST(Json, FieldsHaveTheirNamesAndOrderInTheSpecification) {
  auto migration = completed();
  migration.clear_progress();
  EXPECT_EQ(to_json(migration).dump(2), kCompleted);
}

TEST(Json, DefaultsAreWrittenAndAbsentPartsAreNot) {
  control::Vm vm;
  EXPECT_EQ(to_json(vm).dump(), R"({"name":"","id":"","state":""})");
  vm.mutable_migration();
  EXPECT_TRUE(to_json(vm).contains("migration"));
  EXPECT_EQ(to_json(control::MigrationList()).dump(), R"({"migrations":[]})");
}

TEST(Json, TheLargestNumbersStayWhatTheyAre) {
  control::Progress progress;
  progress.set_memory_total(18'446'744'073'709'551'615u);
  EXPECT_EQ(to_json(progress)["memory_total"].dump(), "18446744073709551615");
}

}  // namespace
}  // namespace vmigrate::cli
