// What requests leave in the audit trail, and how people are told of it.
#include "daemon/audited_api.hpp"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include "control/framing.hpp"
#include "daemon/audit_entries.hpp"
#include "daemon_fixture.hpp"

namespace vmigrate::daemon {
namespace {

using hypervisor::FakeStep;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class AuditedApiTest : public DaemonTest {
 protected:
  static control::Request waiting_start() {
    auto request = start_request();
    request.mutable_start()->set_wait(true);
    return request;
  }
  static control::Request audit_request(std::uint64_t before = 0, std::uint32_t limit = 0) {
    control::Request request;
    request.mutable_audit()->set_before(before);
    request.mutable_audit()->set_limit(limit);
    return request;
  }
  static control::Request verify_request() {
    control::Request request;
    request.mutable_audit_verify();
    return request;
  }
  static control::Request list_request() {
    control::Request request;
    request.mutable_list();
    return request;
  }
  static std::vector<std::string> results(const std::vector<audit::Entry>& entries) {
    std::vector<std::string> words;
    for (const auto& entry : entries) words.push_back(entry.result);
    return words;
  }
  /// The trail's file, for another program.
  sqlite3* open_file() const {
    sqlite3* database = nullptr;
    EXPECT_EQ(::sqlite3_open(folder_.file("audit.db").c_str(), &database), SQLITE_OK);
    // Its own writer may be at it just now.
    ::sqlite3_busy_timeout(database, 30'000);
    return database;
  }
  void execute(const std::string& sql) const {
    auto* database = open_file();
    EXPECT_EQ(::sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    ::sqlite3_close(database);
  }
};

TEST_F(AuditedApiTest, AMoveIsNotedFromItsBeginToItsEnd) {
  ASSERT_EQ(ask(waiting_start())->last().migration().phase(), control::COMPLETED);
  const auto entries = noted("start");
  ASSERT_THAT(results(entries), ElementsAre("accepted", "completed"));
  for (const auto& entry : entries) {
    EXPECT_EQ(entry.user, "alice (uid 1000)");
    EXPECT_EQ(entry.vm, "web1");
    EXPECT_EQ(entry.vm_id, web1_.id.text());
    EXPECT_EQ(entry.source_host, "hosta");
    EXPECT_EQ(entry.destination_host, "hostb");
    EXPECT_EQ(entry.migration, entries[0].migration);
  }
  EXPECT_THAT(noted("head"), SizeIs(1));
}

TEST_F(AuditedApiTest, ARefusedStartIsNotedWithItsReason) {
  answer(start_request("web2"));
  const auto entries = noted("start");
  ASSERT_THAT(results(entries), ElementsAre("refused"));
  EXPECT_EQ(entries[0].vm, "web2");
  EXPECT_EQ(entries[0].destination_host, "hostb");
  EXPECT_THAT(entries[0].reason, HasSubstr("web2"));
}

TEST_F(AuditedApiTest, ACancelIsNotedWhenItIsAskedForAndWhenItIsDone) {
  hypervisor_.script().hold(FakeStep::memory);
  const auto move = ask(waiting_start());
  ASSERT_TRUE(hypervisor_.script().reached(FakeStep::memory));
  control::Request cancel;
  cancel.mutable_cancel()->set_vm_or_id("web1");
  const auto cancelled = ask(cancel);
  ASSERT_THAT(results(noted("cancel")), ElementsAre("asked"));
  hypervisor_.script().release(FakeStep::memory);
  cancelled->last();
  move->last();
  const auto entries = noted("cancel");
  ASSERT_THAT(results(entries), ElementsAre("asked", "done"));
  EXPECT_EQ(entries[1].vm_id, web1_.id.text());
  EXPECT_THAT(results(noted("start")), ElementsAre("accepted", "cancelled"));
}

TEST_F(AuditedApiTest, AResolveIsNotedWithTheHostThatIsSaidToBeFenced) {
  control::Request request;
  request.mutable_resolve()->set_vm("web1");
  request.mutable_resolve()->set_fenced_host("hostb");
  answer(request);
  const auto entries = noted("resolve");
  ASSERT_THAT(results(entries), ElementsAre("asked", "refused"));
  EXPECT_EQ(entries[0].destination_host, "hostb");
}

TEST_F(AuditedApiTest, WhoLeavesAMigrationToItselfHasNotFailed) {
  hypervisor_.script().hold(FakeStep::memory);
  auto move = ask(waiting_start());
  ASSERT_TRUE(hypervisor_.script().reached(FakeStep::memory));
  control::Request watch;
  watch.mutable_watch()->set_vm_or_id("web1");
  auto watching = ask(watch);
  for (const auto& client : {move, watching}) client->disconnect();
  EXPECT_THAT(results(noted("watch")), ElementsAre("done"));
  hypervisor_.script().release(FakeStep::memory);
  ask(watch)->last();
  EXPECT_THAT(results(noted("start")), ElementsAre("accepted", "completed"));
}

TEST_F(AuditedApiTest, WhoDoesNotWaitForTheEndOfACancelHasLeft) {
  hypervisor_.script().hold(FakeStep::memory);
  const auto move = ask(waiting_start());
  ASSERT_TRUE(hypervisor_.script().reached(FakeStep::memory));
  control::Request cancel;
  cancel.mutable_cancel()->set_vm_or_id("web1");
  const auto cancelling = ask(cancel);
  cancelling->disconnect();
  EXPECT_THAT(results(noted("cancel")), ElementsAre("asked", "left"));
  hypervisor_.script().release(FakeStep::memory);
  EXPECT_EQ(move->last().migration().phase(), control::CANCELLED);
}

TEST_F(AuditedApiTest, WhoOnlyLooksIsCounted) {
  for (int i = 0; i < 50; ++i) answer(list_request());
  EXPECT_THAT(results(noted("list")), ElementsAre("done"));
}

TEST_F(AuditedApiTest, AFloodOfRefusedRequestsDoesNotFillTheTrail) {
  for (int i = 0; i < 500; ++i) answer(start_request("web" + std::to_string(i + 2)));
  EXPECT_THAT(noted("start"), SizeIs(20));
  trail().close();
  const auto entries = noted("start");
  ASSERT_THAT(entries, SizeIs(21));
  EXPECT_EQ(entries.back().count, 480U);
}

TEST(WhatIsKept, EveryThingThatWasDoneButOfWhatWasRefusedSome) {
  control::Response refused;
  refused.mutable_error()->set_message("no");
  EXPECT_EQ(keep(RequestKind::act, {}), audit::Keep::every);
  EXPECT_EQ(keep(RequestKind::act, refused), audit::Keep::some);
  EXPECT_EQ(keep(RequestKind::check, {}), audit::Keep::some);
  EXPECT_EQ(keep(RequestKind::look, {}), audit::Keep::first);
  EXPECT_EQ(keep(RequestKind::look, refused), audit::Keep::some);
}

TEST_F(AuditedApiTest, RequestsThatMakeNoSenseAreNotedToo) {
  answer(control::Request());
  EXPECT_THAT(results(noted("unknown")), ElementsAre("asked", "refused"));
  audited_api().turned_away(control::Caller{.uid = 1000, .user = "1000"},
                            {ErrorCode::usage, "it is none", ""});
  audited_api().turned_away(std::nullopt, {ErrorCode::usage, "it is none", ""});
  const auto entries = noted("connect");
  ASSERT_THAT(results(entries), ElementsAre("refused", "refused"));
  EXPECT_EQ(entries[0].user, "1000 (uid 1000)");
  EXPECT_EQ(entries[1].user, "");
}

TEST_F(AuditedApiTest, AConnectionThatIsTurnedAwayIsNoted) {
  const auto entry = entry_of(peer::TurnedAway{{"", "192.0.2.1:7"}, "its certificate is not accepted"});
  EXPECT_EQ(entry.action, "connect");
  EXPECT_EQ(entry.result, "refused");
  EXPECT_EQ(entry.address, "192.0.2.1:7");
  EXPECT_EQ(entry.reason, "its certificate is not accepted");
}

// --- When it cannot be written

TEST_F(AuditedApiTest, WithoutATrailNothingBeginsAndTheDoctorSaysSo) {
  auto* other = open_file();
  ASSERT_EQ(::sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto error = answer(start_request()).error();
  EXPECT_EQ(error.code(), 1U);
  EXPECT_THAT(error.message(), HasSubstr("hosta: cannot write the audit trail"));
  EXPECT_EQ(error.vm_state(), "web1 runs on hosta");
  EXPECT_EQ(examine("audit trail").verdict(), control::DoctorItem::BAD);
  ::sqlite3_close(other);
  EXPECT_EQ(ask(waiting_start())->last().migration().phase(), control::COMPLETED);
  EXPECT_EQ(examine("audit trail").verdict(), control::DoctorItem::GOOD);
  // What was refused meanwhile is noted after all.
  EXPECT_THAT(results(noted("start")), ElementsAre("failed", "accepted", "completed"));
}

TEST_F(AuditedApiTest, ACancelNeedsNoTrail) {
  hypervisor_.script().hold(FakeStep::memory);
  const auto move = ask(waiting_start());
  ASSERT_TRUE(hypervisor_.script().reached(FakeStep::memory));
  auto* other = open_file();
  ASSERT_EQ(::sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  control::Request cancel;
  cancel.mutable_cancel()->set_vm_or_id("web1");
  const auto cancelled = ask(cancel);
  hypervisor_.script().release(FakeStep::memory);
  EXPECT_FALSE(cancelled->last().has_error());
  EXPECT_EQ(move->last().migration().phase(), control::CANCELLED);
  ::sqlite3_close(other);
  EXPECT_THAT(results(noted("cancel")), ElementsAre("asked", "done"));
}

// --- What people are told

TEST_F(AuditedApiTest, ShowsItPageByPageTheNewestFirst) {
  for (int i = 0; i < 5; ++i) answer(start_request("none"));
  const auto first = answer(audit_request(0, 3)).audit();
  ASSERT_EQ(first.entries_size(), 3);
  EXPECT_TRUE(first.more());
  EXPECT_EQ(first.entries(0).number(), 5U);
  EXPECT_EQ(first.entries(0).action(), "start");
  EXPECT_EQ(first.entries(0).user(), "alice (uid 1000)");
  EXPECT_GT(first.entries(0).time_unix_ms(), 1'700'000'000'000U);
  EXPECT_EQ(first.entries(0).hash().size(), 64U);
  const auto second = answer(audit_request(first.entries(2).number(), 30)).audit();
  ASSERT_EQ(second.entries_size(), 2);
  EXPECT_EQ(second.entries(1).number(), 1U);
  EXPECT_FALSE(second.more());
}

TEST_F(AuditedApiTest, APageFitsIntoAnAnswerHoweverMuchThereIs) {
  for (int i = 0; i < 1500; ++i) {
    audit::Entry entry;
    entry.action = "start";
    entry.reason = std::string(2000, 'x');
    trail().note(entry, audit::Keep::every);
    if (i % 500 == 0) (void)noted();
  }
  const auto page = answer(audit_request());
  EXPECT_LT(page.ByteSizeLong(), control::kLongestMessage);
  EXPECT_TRUE(page.audit().more());
  std::uint64_t seen = 0;
  std::uint64_t before = 0;
  for (bool more = true; more;) {
    const auto next = answer(audit_request(before)).audit();
    ASSERT_FALSE(next.entries().empty());
    seen += static_cast<std::uint64_t>(next.entries_size());
    before = next.entries().rbegin()->number();
    more = next.more();
  }
  EXPECT_GE(seen, 1500U);
}

TEST_F(AuditedApiTest, VerifyComparesItWithWhatTheOtherHostHasNoted) {
  ASSERT_EQ(ask(waiting_start())->last().migration().phase(), control::COMPLETED);
  const auto report = answer(verify_request()).audit_report();
  EXPECT_THAT(report.findings(), IsEmpty());
  EXPECT_GE(report.entries(), 3U);
  EXPECT_EQ(report.agreeing(), 1U);
  ASSERT_EQ(report.witnesses_size(), 1);
  EXPECT_EQ(report.witnesses(0).host(), "hostb");
  EXPECT_EQ(report.witnesses(0).heads(), 1U);
  EXPECT_EQ(report.head().hash(), trail().head()->hash);
}

TEST_F(AuditedApiTest, VerifyFindsWhatWasRewrittenByWhatTheOtherHostHasNoted) {
  ASSERT_EQ(ask(waiting_start())->last().migration().phase(), control::COMPLETED);
  answer(verify_request());
  execute("UPDATE entries SET entry = replace(entry, 'alice', 'carol') WHERE number = 1");
  const auto report = answer(verify_request()).audit_report();
  EXPECT_THAT(report.findings(), testing::Contains(HasSubstr("entry 1 is not what was written")));
}

TEST_F(AuditedApiTest, VerifySaysWhichHostCouldNotBeAsked) {
  hostb_.kill_daemon();
  const auto report = answer(verify_request()).audit_report();
  ASSERT_EQ(report.witnesses_size(), 1);
  EXPECT_THAT(report.witnesses(0).problem(), HasSubstr("does not answer"));
  EXPECT_THAT(report.findings(), IsEmpty());
  hostb_.start_daemon();
}

}  // namespace
}  // namespace vmigrate::daemon
