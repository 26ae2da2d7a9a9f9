#include "daemon/report_proto.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reports.hpp"

namespace vmigrate::daemon {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using std::chrono::system_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A report in which everything has a value of its own, none of them the default.
migration::Report full_report() {
  auto report = report_of("web1", migration::Phase::completed,
                          *MigrationId::parse("aabbccdd-0000-4000-8000-000000000001"));
  report.role = handover::Role::destination;
  report.requested_by = "root (uid 0)";
  report.started = system_clock::time_point(Milliseconds(1'700'000'000'123));
  report.ended = system_clock::time_point(Milliseconds(1'700'000'007'456));
  report.vm_runs_on = "hostb";
  report.vmm = "/usr/bin/vmm";
  report.error = Error{ErrorCode::not_converging, "why", "what to do"};
  report.progress = {.memory_pass = 1,
                     .memory_total = Bytes{1ULL << 41},
                     .memory_processed = Bytes{3},
                     .memory_remaining = Bytes{4},
                     .guest_rate = Rate{5},
                     .wire_rate = Rate{6},
                     .dirty_rate = Rate{7},
                     .converging = true,
                     .time_left = Milliseconds(8),
                     .pause = Milliseconds(9),
                     .max_pause = Milliseconds(10),
                     .elapsed = Milliseconds(11),
                     .slowdown = Percent{12},
                     .slowdown_reason = "it changes too much",
                     .link = {.stalls = 13,
                              .stalled = Milliseconds(14),
                              .outage = migration::LinkReport::Outage{
                                  .so_far = Milliseconds(15), .window = Milliseconds(16), .why = "a cable"}}};
  report.receipt = migration::Receipt{.total = Milliseconds(21),
                                      .pause = Milliseconds(22),
                                      .last_pages = Milliseconds(23),
                                      .arrival = Milliseconds(32),
                                      .load = Milliseconds(24),
                                      .start = Milliseconds(25),
                                      .release = Milliseconds(26),
                                      .guest_bytes = Bytes{1ULL << 42},
                                      .wire_bytes = Bytes{28},
                                      .passes = 29,
                                      .slowdown = Percent{30},
                                      .expected_pause = Milliseconds(31),
                                      .link_stalls = 33,
                                      .link_stalled = Milliseconds(34),
                                      .memory_verified = true,
                                      .announcements = {{.mac = "52:54:00:12:34:56",
                                                         .frames = 3,
                                                         .addresses = {"10.0.0.7", "fe80::1"},
                                                         .problem = "no bridge"}}};
  return report;
}

/// Names of the fields that are not set, here or in any message inside.
std::vector<std::string> unset_fields(const Message& message) {
  std::vector<std::string> unset;
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    const bool set = field->is_repeated() ? reflection->FieldSize(message, field) > 0
                                          : reflection->HasField(message, field);
    if (!set) unset.push_back(field->full_name());
    if (!set || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const auto& inside = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, 0)
                                              : reflection->GetMessage(message, field);
    for (auto& name : unset_fields(inside)) unset.push_back(std::move(name));
  }
  return unset;
}

TEST(ReportProto, LeavesNoFieldOfTheApiOut) {
  // A field that is added to control.proto and forgotten here is found by this.
  EXPECT_THAT(unset_fields(to_proto(full_report())), IsEmpty());
}

TEST(ReportProto, SaysWhichMigrationItIs) {
  const auto said = to_proto(full_report());
  EXPECT_EQ(said.id(), "aabbccdd-0000-4000-8000-000000000001");
  EXPECT_EQ(said.vm(), "web1");
  EXPECT_EQ(said.vm_id(), "123e4567-e89b-12d3-a456-426614174000");
  EXPECT_EQ(said.role(), control::DESTINATION);
  EXPECT_EQ(said.source_host(), "hosta");
  EXPECT_EQ(said.destination_host(), "hostb");
  EXPECT_EQ(said.started_unix_ms(), 1'700'000'000'123U);
  EXPECT_EQ(said.ended_unix_ms(), 1'700'000'007'456U);
  EXPECT_EQ(said.requested_by(), "root (uid 0)");
  EXPECT_EQ(said.vm_runs_on(), "hostb");
}

TEST(ReportProto, CarriesEveryNumberOfTheProgress) {
  const auto said = to_proto(full_report()).progress();
  EXPECT_THAT(std::vector<std::uint64_t>({said.memory_pass(), said.memory_total(), said.memory_processed(),
                                          said.memory_remaining(), said.guest_rate(), said.wire_rate(),
                                          said.dirty_rate(), said.forecast_left_ms(),
                                          said.forecast_pause_ms(), said.max_pause_ms(), said.elapsed_ms(),
                                          said.slowdown_percent(), said.link_stalls(), said.link_stalled_ms(),
                                          said.link_outage().so_far_ms(), said.link_outage().window_ms()}),
              ElementsAre(1, 1ULL << 41, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
  EXPECT_EQ(said.link_outage().why(), "a cable");
  EXPECT_EQ(said.slowdown_reason(), "it changes too much");
  EXPECT_TRUE(said.converging());
}

TEST(ReportProto, CarriesEveryNumberOfTheReceipt) {
  const auto said = to_proto(full_report()).receipt();
  EXPECT_THAT(
      std::vector<std::uint64_t>({said.total_ms(), said.pause_ms(), said.last_pages_ms(), said.load_ms(),
                                  said.start_ms(), said.release_ms(), said.guest_bytes(), said.wire_bytes(),
                                  said.passes(), said.slowdown_percent(), said.expected_pause_ms(),
                                  said.arrival_ms(), said.link_stalls(), said.link_stalled_ms()}),
      ElementsAre(21, 22, 23, 24, 25, 26, 1ULL << 42, 28, 29, 30, 31, 32, 33, 34));
  EXPECT_TRUE(said.memory_verified());
  ASSERT_THAT(said.announcements(), SizeIs(1));
  EXPECT_EQ(said.announcements(0).mac(), "52:54:00:12:34:56");
  EXPECT_EQ(said.announcements(0).frames(), 3U);
  EXPECT_THAT(said.announcements(0).addresses(), ElementsAre("10.0.0.7", "fe80::1"));
  EXPECT_EQ(said.announcements(0).problem(), "no bridge");
}

TEST(ReportProto, SaysEveryPhaseByItsNumberInTheApi) {
  const std::vector<std::pair<migration::Phase, control::Phase>> phases{
      {migration::Phase::check, control::CHECK},
      {migration::Phase::prepare, control::PREPARE},
      {migration::Phase::memory, control::MEMORY},
      {migration::Phase::switchover, control::SWITCHOVER},
      {migration::Phase::clean_up, control::CLEAN_UP},
      {migration::Phase::completed, control::COMPLETED},
      {migration::Phase::failed, control::FAILED},
      {migration::Phase::cancelled, control::CANCELLED},
      {migration::Phase::needs_attention, control::NEEDS_ATTENTION}};
  ASSERT_EQ(phases.size() + 1, static_cast<std::size_t>(control::Phase_ARRAYSIZE));
  for (const auto& [phase, said] : phases) EXPECT_EQ(to_proto(report_of("web1", phase)).phase(), said);
  EXPECT_EQ(to_proto(report_of("web1", migration::Phase::check)).role(), control::SOURCE);
}

TEST(ReportProto, WhatIsNotThereYetIsNotMadeUp) {
  const auto said = to_proto(report_of("web1", migration::Phase::memory));
  EXPECT_EQ(said.ended_unix_ms(), 0U);
  EXPECT_FALSE(said.has_receipt());
  EXPECT_FALSE(said.has_error());
  EXPECT_EQ(said.progress().forecast_left_ms(), 0U);
  EXPECT_EQ(said.progress().forecast_pause_ms(), 0U);
}

TEST(ReportProto, ADurationThatDoesNotFitIsTheNearestThatDoes) {
  auto report = full_report();
  report.progress.time_left = Milliseconds(1LL << 40);
  report.receipt->pause = Milliseconds(-5);
  EXPECT_EQ(to_proto(report).progress().forecast_left_ms(), 0xffffffffU);
  EXPECT_EQ(to_proto(report).receipt().pause_ms(), 0U);
}

TEST(ReportProto, AnErrorSaysWhereTheVmRunsOrThatNobodyKnows) {
  auto report = full_report();
  auto said = to_proto(report).error();
  EXPECT_EQ(said.code(), 7U);
  EXPECT_EQ(said.message(), "why");
  EXPECT_EQ(said.hint(), "what to do");
  EXPECT_EQ(said.vm_state(), "web1 runs on hostb");
  report.vm_runs_on.clear();
  said = to_proto(report).error();
  EXPECT_THAT(said.vm_state(), HasSubstr("not known where web1 runs"));
}

TEST(ReportProto, EveryErrorCodeIsTheExitCodeThatTheManualPromises) {
  const std::vector<std::pair<ErrorCode, std::uint32_t>> promised{
      {ErrorCode::failed, 1},         {ErrorCode::usage, 2},       {ErrorCode::not_found, 3},
      {ErrorCode::refused, 4},        {ErrorCode::not_allowed, 5}, {ErrorCode::cancelled, 6},
      {ErrorCode::not_converging, 7}, {ErrorCode::unreachable, 8}, {ErrorCode::needs_attention, 9}};
  for (const auto& [code, number] : promised) EXPECT_EQ(to_proto(Error{code, "", ""}).code(), number);
}

}  // namespace
}  // namespace vmigrate::daemon
