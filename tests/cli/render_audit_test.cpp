#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/render.hpp"

namespace vmigrate::cli {
namespace {

class RenderAudit : public testing::Test {
 protected:
  RenderAudit() {
    // One thread. NOLINTNEXTLINE(concurrency-mt-unsafe)
    ::setenv("TZ", "UTC", 1);
  }
};

TEST_F(RenderAudit, AnEntrySaysWhoWhatWhenWhereAndWhy) {
  control::AuditList list;
  auto* start = list.add_entries();
  start->set_number(7);
  start->set_time_unix_ms(1'764'028'800'000);
  start->set_action("start");
  start->set_result("refused");
  start->set_user("alice (uid 1000)");
  start->set_vm("web1");
  start->set_source_host("hosta");
  start->set_destination_host("hostb");
  start->set_migration("22aabbcc-0000-0000-0000-000000000000");
  start->set_reason("there is no bridge br0");
  auto* head = list.add_entries();
  head->set_number(8);
  head->set_time_unix_ms(1'764'028'801'000);
  head->set_action("head");
  head->set_result("noted");
  head->set_peer("hostb");
  head->set_address("10.0.0.2:4711");
  head->mutable_head()->set_number(40);
  head->mutable_head()->set_hash(std::string(64, 'a'));
  auto* flood = list.add_entries();
  flood->set_number(9);
  flood->set_time_unix_ms(1'764'028'802'000);
  flood->set_action("connect");
  flood->set_result("refused");
  flood->set_address("192.0.2.1:7");
  flood->set_reason("no certificate");
  flood->set_count(480);
  EXPECT_EQ(
      render_audit(list, Style{}),
      "NUMBER  TIME                 WHO                    WHAT     RESULT   VM    WHERE          ID        "
      "WHY\n"
      "7       2025-11-25 00:00:00  alice (uid 1000)       start    refused  web1  hosta → hostb  22aabbcc  "
      "there is no bridge br0\n"
      "8       2025-11-25 00:00:01  hostb (10.0.0.2:4711)  head     noted    -     -              -         "
      "entry 40 is aaaaaaaaaaaaaaaa\n"
      "9       2025-11-25 00:00:02  192.0.2.1:7            connect  refused  -     -              -         "
      "no certificate; 480 more, this is the last\n");
  EXPECT_EQ(render_audit({}, Style{}), "there is no such entry\n");
}

TEST_F(RenderAudit, AVerificationSaysWhatWasFoundAndWhoWasAsked) {
  control::AuditReport report;
  report.set_entries(40);
  report.set_agreeing(3);
  report.mutable_head()->set_number(40);
  report.mutable_head()->set_hash(std::string(64, 'a'));
  auto* asked = report.add_witnesses();
  asked->set_host("hostb");
  asked->set_heads(3);
  EXPECT_EQ(render_audit_report(report, Style{}),
            "host hostb: has noted 3 of its entries\n"
            "40 entries are as they were written; 3 agree with what other hosts have noted\n"
            "the last one is 40: " +
                std::string(64, 'a') + "\n");
  auto* silent = report.add_witnesses();
  silent->set_host("hostc");
  silent->set_problem("it does not answer");
  report.add_findings("entry 3 is missing");
  EXPECT_EQ(render_audit_report(report, Style{}),
            "bad  entry 3 is missing\n"
            "host hostb: has noted 3 of its entries\n"
            "host hostc: could not be asked: it does not answer\n"
            "40 entries were looked at; 3 agree with what other hosts have noted\n"
            "the last one is 40: " +
                std::string(64, 'a') + "\n");
}

}  // namespace
}  // namespace vmigrate::cli
