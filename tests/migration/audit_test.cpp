// What a migration notes in the audit trails of both hosts, and what it does when it cannot.
#include <gmock/gmock.h>

#include "scenario.hpp"

namespace vmigrate::migration {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AuditTest : public Scenario {
 protected:
  Report move(ScenarioHost& from, ScenarioHost& to) { return from.await_end(start(from, to)); }
  static audit::Entry only(const RememberingTrail& trail, const std::string& action) {
    std::vector<audit::Entry> found;
    for (auto& entry : trail.entries()) {
      if (entry.action == action) found.push_back(entry);
    }
    EXPECT_EQ(found.size(), 1U) << action;
    return found.empty() ? audit::Entry() : found.front();
  }
};

TEST_F(AuditTest, AMoveIsNotedOnBothHosts) {
  const auto report = move(a, b);
  ASSERT_EQ(report.phase, Phase::completed);
  const auto start = only(*a.trail, "start");
  EXPECT_EQ(start.result, "accepted");
  EXPECT_EQ(start.user, "test");
  EXPECT_EQ(start.vm, "web1");
  EXPECT_EQ(start.vm_id, web1.id.text());
  EXPECT_EQ(start.migration, report.id.text());
  EXPECT_EQ(start.source_host, "hosta");
  EXPECT_EQ(start.destination_host, "hostb");
  const auto receive = only(*b.trail, "receive");
  EXPECT_EQ(receive.result, "accepted");
  EXPECT_EQ(receive.peer, "hosta");
  EXPECT_EQ(receive.address, "loopback");
  EXPECT_EQ(receive.migration, report.id.text());
  EXPECT_EQ(receive.vm, "web1");
}

TEST_F(AuditTest, EachHostNotesTheHeadOfTheOther) {
  const auto report = move(a, b);
  // Each of them with the entry that this very migration is allowed by.
  const auto of_a = only(*b.trail, "head");
  EXPECT_EQ(of_a.peer, "hosta");
  EXPECT_EQ(of_a.migration, report.id.text());
  EXPECT_EQ(of_a.head, (audit::Head{1, std::string(64, 'a')}));
  const auto of_b = only(*a.trail, "head");
  EXPECT_EQ(of_b.peer, "hostb");
  ASSERT_TRUE(of_b.head);
  EXPECT_GE(of_b.head->number, 1U);
  EXPECT_EQ(of_b.head->hash, std::string(64, 'b'));
}

TEST_F(AuditTest, WhatAHostHasNotedItTellsTheOneWhoseTrailItIs) {
  move(a, b);
  const auto heads = a.daemon().audit_heads("hostb");
  ASSERT_TRUE(heads) << heads.error().message;
  EXPECT_THAT(*heads, Contains(audit::Head{1, std::string(64, 'a')}));
  // Asking makes it note what there is now.
  const auto later = a.daemon().audit_heads("hostb");
  ASSERT_TRUE(later);
  EXPECT_GT(later->size(), heads->size());
}

TEST_F(AuditTest, ARefusedOfferIsNotedWithItsReason) {
  b.hypervisor.script().fail(hypervisor::FakeStep::check_incoming,
                             {ErrorCode::refused, "there is no bridge br0", ""});
  EXPECT_EQ(move(a, b).phase, Phase::failed);
  const auto receive = only(*b.trail, "receive");
  EXPECT_EQ(receive.result, "refused");
  EXPECT_EQ(receive.reason, "there is no bridge br0");
  // No head is exchanged for what does not begin.
  EXPECT_THAT(b.trail->said("head"), IsEmpty());
}

TEST_F(AuditTest, ACheckIsNotedThere) {
  ASSERT_TRUE(a.daemon().check(web1, "hostb"));
  EXPECT_THAT(b.trail->said(), ElementsAre("check possible"));
}

TEST_F(AuditTest, WithoutATrailHereNothingBegins) {
  a.trail->set_broken(true);
  StartOptions options;
  options.host = "hostb";
  const auto refused = a.daemon().start("web1", options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "hosta: cannot write the audit trail: the disk is full");
  EXPECT_THAT(b.trail->said(), IsEmpty());
  expect_runs_only_on(a);
  // And once there is room, it does.
  a.trail->set_broken(false);
  expect_moves(a, b);
}

TEST_F(AuditTest, WithoutATrailThereNothingIsTakenIn) {
  b.trail->set_broken(true);
  const auto report = move(a, b);
  EXPECT_EQ(report.phase, Phase::failed);
  ASSERT_TRUE(report.error);
  EXPECT_THAT(report.error->message, HasSubstr("hostb: cannot write the audit trail"));
  EXPECT_THAT(b.trail->said(), ElementsAre("receive refused"));
  expect_runs_only_on(a);
  b.trail->set_broken(false);
  expect_moves(a, b);
}

TEST_F(AuditTest, AHandoverThatHasBegunDoesNotNeedIt) {
  // From the moment on which the VM is promised to the other host.
  network.set_judge([this](const std::string&, peer::Lane lane, ByteView bytes) {
    const auto message = lane == peer::Lane::control ? decode(bytes) : decode({});
    if (message && std::holds_alternative<Finish>(*message)) {
      a.trail->set_broken(true);
      b.trail->set_broken(true);
    }
    return LoopbackNetwork::Fate::deliver;
  });
  expect_moves(a, b);
}

TEST_F(AuditTest, ADaemonThatStartsAgainBringsItsHandoversToAnEndWithoutIt) {
  network.set_judge([](const std::string&, peer::Lane lane, ByteView bytes) {
    const auto message = lane == peer::Lane::control ? decode(bytes) : decode({});
    return message && std::holds_alternative<Verdict>(*message) ? LoopbackNetwork::Fate::cut_before
                                                                : LoopbackNetwork::Fate::deliver;
  });
  const auto id = start(a, b);
  network.await_cut();
  network.set_judge({});
  a.kill_daemon();
  a.trail->set_broken(true);
  b.trail->set_broken(true);
  network.heal();
  a.start_daemon();
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(AuditTest, ASecondOfferOfTheSameVmIsNotedAsRefused) {
  a.hypervisor.script().hold(hypervisor::FakeStep::memory);
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(hypervisor::FakeStep::memory));
  StartOptions options;
  options.host = "hostb";
  EXPECT_FALSE(a.daemon().start("web1", options));
  a.hypervisor.script().release(hypervisor::FakeStep::memory);
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  // Refusals of people are for who answers them to note: there is one start.
  EXPECT_THAT(a.trail->said("start"), ElementsAre("start accepted"));
}

}  // namespace
}  // namespace vmigrate::migration
