// Everything that can go wrong on the way, at every step: where the VM must be afterwards, and that the next
// try works. "At no instant two" is checked by the fake world in every one of them.
#include <gmock/gmock.h>

#include "handover/veto.hpp"
#include "migration/peer_link.hpp"
#include "scenario.hpp"

namespace vmigrate::migration {
namespace {

using hypervisor::DomainState;
using hypervisor::FakeStep;

const Error kTrouble{ErrorCode::failed, "scripted trouble", ""};

std::string name_of(FakeStep step) {
  switch (step) {
    case FakeStep::ask_prepare: return "AskPrepare";
    case FakeStep::connect: return "Connect";
    case FakeStep::memory: return "Memory";
    case FakeStep::stopped: return "Stopped";
    case FakeStep::perform: return "Perform";
    default: return "Other";
  }
}

class AtEachStep : public Scenario, public testing::WithParamInterface<FakeStep> {
 protected:
  /// Begins a migration and returns once it stands at the step.
  MigrationId hold_there() {
    a.hypervisor.script().hold(GetParam());
    auto id = start(a, b);
    EXPECT_TRUE(a.hypervisor.script().reached(GetParam()));
    return id;
  }
  void go_on() { a.hypervisor.script().release(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Steps, AtEachStep,
                         testing::Values(FakeStep::ask_prepare, FakeStep::connect, FakeStep::memory,
                                         FakeStep::stopped, FakeStep::perform),
                         [](const auto& step) { return name_of(step.param); });

TEST_P(AtEachStep, CancelBringsTheVmBackAndTheNextTryWorks) {
  const auto id = hold_there();
  ASSERT_TRUE(a.daemon().cancel(id));
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::cancelled);
  EXPECT_EQ(report.vm_runs_on, "hosta");
  expect_runs_only_on(a);
  go_on();
  expect_moves(a, b);
}

TEST_P(AtEachStep, AFailureBringsTheVmBackAndTheNextTryWorks) {
  a.hypervisor.script().fail(GetParam(), kTrouble);
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.error->message, "scripted trouble");
  expect_runs_only_on(a);
  expect_moves(a, b);
}

TEST_P(AtEachStep, ACutBringsTheVmBackAndTheNextTryWorks) {
  const auto id = hold_there();
  network.cut();
  go_on();
  // Whether the source sees the cut or its hypervisor's Finish first is a race that either may win: with the
  // promise made, it has to ask first.
  a.await("it notices", [&](const Report& report) {
    return report.id == id && (has_ended(report.phase) || report.phase == Phase::needs_attention);
  });
  network.heal();
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.vm_runs_on, "hosta");
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  expect_moves(a, b);
}

TEST_P(AtEachStep, AKilledSourceDaemonBringsTheVmBackAndTheNextTryWorks) {
  hold_there();
  a.kill_daemon();
  go_on();
  a.start_daemon();
  a.await("the VM is back", [](const Report& report) { return report.phase == Phase::failed; });
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  expect_moves(a, b);
}

TEST_P(AtEachStep, AKilledDestinationDaemonBringsTheVmBackAndTheNextTryWorks) {
  const auto id = hold_there();
  b.kill_daemon();
  go_on();
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  b.start_daemon();
  expect_moves(a, b);
}

TEST_P(AtEachStep, ADeadSourceVmIsReportedAndTheDestinationIsCleared) {
  const auto id = hold_there();
  a.hypervisor.kill(web1.id);
  go_on();
  const auto report = a.await_end(id);
  EXPECT_TRUE(has_ended(report.phase));
  EXPECT_LE(world->running_on(web1.id).size(), 1U);
}

TEST_P(AtEachStep, WindingDownTheDaemonBringsTheVmBack) {
  const auto id = hold_there();
  a.daemon().wind_down(Milliseconds(10'000));
  EXPECT_EQ(a.await_end(id).phase, Phase::cancelled);
  expect_runs_only_on(a);
  go_on();
}

TEST_F(Scenario, ADestinationThatCannotPrepareRefuses) {
  b.hypervisor.script().fail(FakeStep::prepare, kTrouble);
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  expect_runs_only_on(a);
  expect_moves(a, b);
}

TEST_F(Scenario, AVmThatIsStartedAtTheDestinationAfterTheChecksIsNotTakenFromItsOwner) {
  b.hypervisor.script().hold(FakeStep::state);
  const auto id = start(a, b);
  ASSERT_TRUE(b.hypervisor.script().reached(FakeStep::state));
  auto twin = web1;
  twin.state = hypervisor::DomainState::paused;
  b.hypervisor.add(twin);
  b.hypervisor.script().release(FakeStep::state);
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_NE(report.error->message.find("web1 is paused on hostb"), std::string::npos)
      << report.error->message;
  EXPECT_EQ(*a.hypervisor.state(web1.id), hypervisor::DomainState::running);
  EXPECT_EQ(*b.hypervisor.state(web1.id), hypervisor::DomainState::paused);
}

TEST_F(Scenario, ADestinationThatCannotLoadGivesTheVmBack) {
  b.hypervisor.script().fail(FakeStep::load, kTrouble);
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_NE(report.error->message.find("scripted trouble"), std::string::npos);
  expect_runs_only_on(a);
  expect_moves(a, b);
}

// libvirt says for a moment that a VM runs whose QEMU has just died.
TEST_F(Scenario, AVmThatDoesNotAnswerIsNotSaidToRunOn) {
  a.hypervisor.script().fail(FakeStep::memory, kTrouble);
  a.hypervisor.script().fail(FakeStep::resume, kTrouble);
  a.hypervisor.script().hold(FakeStep::resume);
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(FakeStep::resume));
  a.hypervisor.kill(web1.id);
  a.hypervisor.script().release(FakeStep::resume);
  const auto report = a.await_end(id);
  EXPECT_THAT(report.error->message, testing::HasSubstr("web1 ended on hosta"));
  EXPECT_EQ(report.vm_runs_on, "");
}

TEST_F(Scenario, CancelAfterTheVmWasHandedOverIsTooLate) {
  b.hypervisor.script().hold(FakeStep::load);
  const auto id = start(a, b);
  ASSERT_TRUE(b.hypervisor.script().reached(FakeStep::load));
  ASSERT_TRUE(a.daemon().cancel(id));
  b.hypervisor.script().release(FakeStep::load);
  const auto report = a.await_end(id);
  EXPECT_TRUE(has_ended(report.phase));
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{report.vm_runs_on});
  EXPECT_LE(world->most_running_at_once(web1.id), 1U);
}

TEST_F(Scenario, APromiseThatCannotBeWrittenIsNotMade) {
  a.journal->fail_at("relinquished");
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_NE(report.error->message.find("disk is full"), std::string::npos);
  expect_runs_only_on(a);
  a.journal->fail_at("");
  expect_moves(a, b);
}

TEST_F(Scenario, ACommitThatCannotBeWrittenGivesTheVmBack) {
  b.journal->fail_at("started");
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  expect_runs_only_on(a);
  EXPECT_EQ(world->position("hostb: resume"), world->log().size());
  b.journal->fail_at("");
  expect_moves(a, b);
}

TEST_F(Scenario, AFullJournalAtTheStartRefuses) {
  a.journal->fail_at("preparing");
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  expect_runs_only_on(a);
  a.journal->fail_at("");
  b.journal->fail_at("reserved");
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  expect_runs_only_on(a);
  b.journal->fail_at("");
  expect_moves(a, b);
}

TEST_F(Scenario, AFailedConfirmationStillRemovesTheCopyHere) {
  a.hypervisor.script().fail(FakeStep::confirm, kTrouble);
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::completed);
  expect_runs_only_on(b);
}

// --- The link breaks at one message
// ---------------------------------------------------------------------------

template <class Message>
LoopbackNetwork::Judge cut_at(LoopbackNetwork::Fate fate) {
  return [fate](const std::string&, peer::Lane lane, ByteView bytes) {
    if (lane != peer::Lane::control) return LoopbackNetwork::Fate::deliver;
    const auto message = decode(bytes);
    return message && std::holds_alternative<Message>(*message) ? fate : LoopbackNetwork::Fate::deliver;
  };
}

/// The link goes down at the message; nothing runs twice; it comes up again, and the VM runs exactly once.
void cut_then_heal(LoopbackNetwork& network, ScenarioHost& from, const MigrationId& id,
                   const std::function<void()>& while_down) {
  from.await("it notices", [&](const Report& report) {
    return report.id == id && (has_ended(report.phase) || report.phase == Phase::needs_attention);
  });
  network.await_cut();
  while_down();
  network.set_judge(nullptr);
  network.heal();
}

TEST_F(Scenario, FinishIsLost) {
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [&] { EXPECT_TRUE(world->running_on(web1.id).empty()); });
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  expect_moves(a, b);
}

TEST_F(Scenario, TheVerdictIsLost) {
  network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  // This is the hole in libvirt's own migration: here the destination runs, and the source must not.
  cut_then_heal(network, a, id,
                [&] { EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"}); });
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(Scenario, TheVerdictIsLostAndTheSourceDaemonDies) {
  network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [&] {
    a.kill_daemon();
    EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"});
  });
  a.start_daemon();
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(Scenario, TheVerdictIsLostAndTheDestinationDaemonDies) {
  network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [&] { b.kill_daemon(); });
  b.start_daemon();
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(Scenario, FinishIsLostAndBothDaemonsDie) {
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [&] {
    a.kill_daemon();
    b.kill_daemon();
    EXPECT_TRUE(world->running_on(web1.id).empty());
  });
  b.start_daemon();
  a.start_daemon();
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.vm_runs_on, "hosta");
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  expect_moves(a, b);
}

TEST_F(Scenario, TheLinkBreaksRightBehindFinish) {
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_after));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [] {});
  const auto report = a.await_end(id);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{report.vm_runs_on});
  EXPECT_LE(world->most_running_at_once(web1.id), 1U);
}

TEST_F(Scenario, TheOfferOrItsAnswerIsLost) {
  for (const auto fate : {LoopbackNetwork::Fate::cut_before, LoopbackNetwork::Fate::cut_after}) {
    network.set_judge(cut_at<Offer>(fate));
    EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
    network.await_cut();
    network.heal();
    network.set_judge(cut_at<OfferAnswer>(fate));
    EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
    network.await_cut();
    network.set_judge(nullptr);
    network.heal();
    EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  }
  expect_moves(a, b);
}

TEST_F(Scenario, TheConfirmationIsLost) {
  network.set_judge(cut_at<Confirmed>(LoopbackNetwork::Fate::cut_before));
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::completed);
  expect_runs_only_on(b);
  network.await_cut();
  network.set_judge(nullptr);
  network.heal();
  expect_moves(b, a);
}

TEST_F(Scenario, AnAdministratorDecidesWhatTwoHostsCannot) {
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  a.await("doubt", [&](const Report& report) { return report.phase == Phase::needs_attention; });
  EXPECT_EQ(a.daemon().resolve(id, "hostc").error().code, ErrorCode::refused);
  EXPECT_TRUE(world->running_on(web1.id).empty());
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
}

TEST_F(Scenario, ADecisionOutlivesTheDaemonThatHeardIt) {
  const auto doubted = [](const Report& report) { return report.phase == Phase::needs_attention; };
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  a.await("doubt", doubted);
  a.journal->fail_at("reclaimed");
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  a.await_end(id);
  a.kill_daemon();
  a.journal->fail_at("");
  a.forget();
  a.start_daemon();
  // Without another word from hostb, which cannot be asked, or from a person.
  EXPECT_EQ(a.await_end(id).vm_runs_on, "hosta");
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
}

TEST_F(Scenario, ADecisionThatCannotBeWrittenDoesNotCount) {
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  a.await("doubt", [](const Report& report) { return report.phase == Phase::needs_attention; });
  a.forget();
  a.journal->fail_at("reclaiming");
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  a.await("doubt again", [](const Report& report) { return report.phase == Phase::needs_attention; });
  EXPECT_TRUE(world->running_on(web1.id).empty());
  a.journal->fail_at("");
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
}

/// hosta's journal says that a decision was not written, and has written it; and it cannot be overwritten.
class DecisionNotRecorded : public Scenario {
 protected:
  static bool is_in_doubt(const Report& report) { return report.phase == Phase::needs_attention; }
  template <class Message>
  MigrationId decide_in_vain() {
    network.set_judge(cut_at<Message>(LoopbackNetwork::Fate::cut_before));
    auto id = start(a, b);
    a.await("doubt", is_in_doubt);
    a.journal->lie_at("reclaiming");
    a.journal->fail_at("relinquished");
    EXPECT_TRUE(a.daemon().resolve(id, "hostb"));
    a.await("doubt about the decision", [](const Report& report) {
      return is_in_doubt(report) && report.error->message.find("could not be recorded") != std::string::npos;
    });
    EXPECT_EQ(record_here(id), "reclaiming");
    return id;
  }
  void heal_network() {
    network.set_judge(nullptr);
    network.heal();
  }
  void mend_journal() {
    a.journal->lie_at("");
    a.journal->fail_at("");
  }
  std::string record_here(const MigrationId& id) {
    return a.journal->find(id, handover::Role::source).value().value().state;
  }
  static bool comes_true(const std::function<bool()>& met) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!met() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return met();
  }
};

// A daemon that starts anew reads what is on disk, and would run the VM whatever has been heard since.
TEST_F(DecisionNotRecorded, IsTakenBackOnDiskAsWell) {
  const auto id = decide_in_vain<Finish>();
  mend_journal();
  EXPECT_TRUE(comes_true([&] { return record_here(id) == "relinquished"; }));
  a.kill_daemon();
  a.forget();
  a.start_daemon();
  a.await("doubt after the restart", is_in_doubt);
  EXPECT_TRUE(world->running_on(web1.id).empty());
}

TEST_F(DecisionNotRecorded, WhatRunsThereIsNotBelievedBeforeThat) {
  const auto id = decide_in_vain<Verdict>();
  heal_network();
  const auto before = a.journal->failures();
  EXPECT_TRUE(comes_true([&] { return a.journal->failures() >= before + 3; }));
  EXPECT_EQ(world->position("hosta: destroy"), world->log().size());
  mend_journal();
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(DecisionNotRecorded, WhatWasRefusedThereRunsHere) {
  const auto id = decide_in_vain<Finish>();
  heal_network();
  EXPECT_EQ(a.await_end(id).vm_runs_on, "hosta");
  expect_runs_only_on(a);
}

TEST_F(Scenario, WhoeverCouldResumeItByHandIsWarnedAtTheVmItself) {
  const auto doubted = [](const Report& report) { return report.phase == Phase::needs_attention; };
  network.set_judge(cut_at<Finish>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  a.await("doubt", doubted);
  a.kill_daemon();
  // So far the hypervisor's own move has kept everybody from it.
  const auto is_warned = "hosta: warning: do not resume, hostb may run it";
  EXPECT_EQ(world->position(is_warned), world->log().size());
  a.forget();
  a.start_daemon();
  a.await("doubt", doubted);
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  a.await_end(id);
  EXPECT_LT(world->position(is_warned), world->position("hosta: resume"));
  EXPECT_LT(world->position("hosta: resume"), world->position("hosta: no warning"));
  EXPECT_LT(world->position("hosta: no warning"), world->log().size());
}

/// The VM dies at the destination between the commit and its first instruction there.
class InDoubt : public Scenario {
 protected:
  MigrationId come_into_doubt() {
    network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
    b.hypervisor.script().hold(FakeStep::resume);
    auto id = start(a, b);
    EXPECT_TRUE(b.hypervisor.script().reached(FakeStep::resume));
    b.hypervisor.kill(web1.id);
    b.hypervisor.script().fail(FakeStep::resume, kTrouble);
    b.hypervisor.script().release(FakeStep::resume);
    network.set_judge(nullptr);
    for (auto* host : {&a, &b}) {
      host->await("doubt",
                  [&](const Report& now) { return now.id == id && now.phase == Phase::needs_attention; });
    }
    return id;
  }
  std::string record_there(const MigrationId& id) {
    return b.journal->find(id, handover::Role::destination).value().value().state;
  }
};

TEST_F(InDoubt, TheSourceDoesNotResumeByItself) {
  come_into_doubt();
  EXPECT_TRUE(world->running_on(web1.id).empty());
  EXPECT_EQ(*a.hypervisor.state(web1.id), DomainState::paused);
}

TEST_F(InDoubt, ADecisionAtTheSourceEndsItThereAsWell) {
  const auto id = come_into_doubt();
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  b.await("it is over", [&](const Report& now) { return now.id == id && now.phase == Phase::failed; });
  // Not before that is over as well.
  expect_moves(a, b);
  EXPECT_EQ(record_there(id), "refused");
}

TEST_F(InDoubt, ADecisionAtTheDestinationEndsTheStoppedCopy) {
  const auto id = come_into_doubt();
  EXPECT_EQ(b.daemon().resolve(id, "hostc").error().code, ErrorCode::refused);
  EXPECT_EQ(record_there(id), "in doubt");
  ASSERT_TRUE(b.daemon().resolve(id, "hosta"));
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  EXPECT_EQ(*a.hypervisor.state(web1.id), DomainState::absent);
  EXPECT_EQ(record_there(id), "done");
  EXPECT_FALSE(b.daemon().resolve(id, "hosta"));
}

// With the decision the source's definition would go as well.
TEST_F(InDoubt, WhereItIsNotDefinedNothingIsDecided) {
  const auto id = come_into_doubt();
  ASSERT_TRUE(b.hypervisor.undefine(web1.id));
  const auto resolved = b.daemon().resolve(id, "hosta");
  ASSERT_FALSE(resolved);
  EXPECT_THAT(resolved.error().message, testing::HasSubstr("has no definition of web1"));
  EXPECT_EQ(record_there(id), "in doubt");
  EXPECT_EQ(*a.hypervisor.state(web1.id), DomainState::paused);
}

TEST_F(InDoubt, NobodyButTheSourceTakesItBack) {
  const auto id = come_into_doubt();
  ScenarioHost c("hostc", network, world, folder_);
  EXPECT_TRUE(ask_peer(c.edges(), "hostb", Ask{id, true}, Milliseconds(1000)));
  EXPECT_EQ(record_there(id), "in doubt");
  EXPECT_TRUE(b.daemon().resolve(id, "hosta"));
}

TEST_F(InDoubt, WhatWasResolvedOverADeadLinkIsStillInDoubtThereAfterARestart) {
  const auto id = come_into_doubt();
  network.cut();
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  b.kill_daemon();
  network.heal();
  b.start_daemon();
  const auto report =
      b.await("doubt", [&](const Report& now) { return now.phase == Phase::needs_attention; });
  EXPECT_THAT(report.error->message, testing::HasSubstr("was committed to hostb"));
  expect_moves(a, b);
}

/// Committed, and the destination cannot run it: it tries on, and the source asks on.
class NotResumedThere : public Scenario {
 protected:
  static constexpr int kAlways = 10'000;
  void SetUp() override {
    Scenario::SetUp();
    b.hypervisor.script().fail(FakeStep::resume, kTrouble, kAlways);
    id_ = start(a, b);
    ASSERT_TRUE(b.hypervisor.script().reached(FakeStep::resume));
  }
  std::string record_there() {
    return b.journal->find(id_, handover::Role::destination).value().value().state;
  }
  void expect_over_at_both() {
    EXPECT_EQ(a.await_end(id_).phase, Phase::failed);
    const auto report =
        b.await("its end", [&](const Report& now) { return now.id == id_ && now.phase == Phase::failed; });
    EXPECT_THAT(report.error->message, testing::HasSubstr("an administrator decided"));
    b.hypervisor.script().mend(FakeStep::resume);
    expect_runs_only_on(a);
    expect_moves(a, b);
    EXPECT_EQ(record_there(), "refused");
  }

  MigrationId id_;
};

TEST_F(NotResumedThere, ADecisionAtTheSourceEndsItThereAsWell) {
  ASSERT_TRUE(a.daemon().resolve(id_, "hostb"));
  expect_over_at_both();
}

TEST_F(NotResumedThere, NeedsAttentionThoughItSaysEachTimeThatItIsUndecided) {
  a.timing.decision = Milliseconds(50);
  a.kill_daemon();
  a.forget();
  a.start_daemon();
  const auto report = a.await("doubt", [](const Report& now) { return now.phase == Phase::needs_attention; });
  EXPECT_THAT(report.error->message, testing::HasSubstr("which has not said for"));
  EXPECT_EQ(report.vm_runs_on, "");
  ASSERT_TRUE(a.daemon().resolve(id_, "hostb"));
  expect_over_at_both();
}

TEST_F(NotResumedThere, ADecisionReachesADaemonThatWasRestarted) {
  b.kill_daemon();
  b.start_daemon();
  ASSERT_TRUE(a.daemon().resolve(id_, "hostb"));
  expect_over_at_both();
}

// What was to be removed is not run by a daemon that starts anew and does not know of the decision.
TEST_F(NotResumedThere, ADecisionOutlivesTheDaemonThatHeardIt) {
  b.hypervisor.script().fail(FakeStep::discard, kTrouble, kAlways);
  ASSERT_TRUE(a.daemon().resolve(id_, "hostb"));
  ASSERT_TRUE(b.hypervisor.script().reached(FakeStep::discard));
  EXPECT_EQ(record_there(), "refusing");
  EXPECT_TRUE(handover::veto_of_start(*b.journal, web1.id, ""));
  b.kill_daemon();
  b.hypervisor.script().mend(FakeStep::resume);
  b.hypervisor.script().mend(FakeStep::discard);
  b.start_daemon();
  expect_over_at_both();
}

// With a full disk under the journal and a libvirtd that does not answer.
TEST_F(NotResumedThere, ADecisionThatCouldNotBeWrittenIsWrittenBeforeTheNextTryToRemoveTheVm) {
  auto& script = b.hypervisor.script();
  script.hold(FakeStep::discard);
  b.journal->fail_at("refusing");
  ASSERT_TRUE(a.daemon().resolve(id_, "hostb"));
  ASSERT_TRUE(script.reached(FakeStep::discard));
  EXPECT_EQ(record_there(), "started");
  b.journal->fail_at("");
  script.fail(FakeStep::discard, kTrouble);
  script.release(FakeStep::discard);
  expect_over_at_both();
  EXPECT_LT(world->position("hostb: journal refusing"), world->log().size());
}

// Whoever decided was wrong: it does not end what runs.
TEST_F(NotResumedThere, AVmThatRunsAfterAllIsNotEndedByADecisionElsewhere) {
  b.hypervisor.script().mend(FakeStep::resume);
  b.await("running", [&](const Report& now) { return now.id == id_ && now.phase == Phase::completed; });
  EXPECT_TRUE(ask_peer(a.edges(), "hostb", Ask{id_, true}, Milliseconds(1000)));
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"});
}

// The thread that would hear of it is the one that loads.
TEST_F(Scenario, ADecisionWhileTheDestinationLoadsIsHeardBeforeTheVmIsResumed) {
  b.hypervisor.script().hold(FakeStep::load);
  const auto id = start(a, b);
  ASSERT_TRUE(b.hypervisor.script().reached(FakeStep::load));
  network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
  ASSERT_TRUE(a.daemon().resolve(id, "hostb"));
  network.await_cut();  // the destination has taken note, and says so
  network.set_judge(nullptr);
  network.heal();
  b.hypervisor.script().release(FakeStep::load);
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  b.await("its end", [&](const Report& now) { return now.id == id && now.phase == Phase::failed; });
  expect_runs_only_on(a);
  expect_moves(a, b);
}

// --- What could not be written at the end of a migration, and comes up again after a restart

TEST_F(Scenario, AnOldPreparingDoesNotResumeWhatALaterMigrationHandedOver) {
  a.hypervisor.script().fail(FakeStep::memory, kTrouble);
  a.journal->fail_at("reclaimed");
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  a.journal->fail_at("");
  network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [&] {
    a.kill_daemon();
    EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"});
  });
  a.start_daemon();
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(Scenario, AnOldRelinquishedDoesNotDestroyAVmThatHasComeHome) {
  a.journal->fail_at("confirmed");
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::completed);
  a.journal->fail_at("");
  expect_moves(b, a);
  a.kill_daemon();
  a.start_daemon();
  expect_moves(a, b);
}

TEST_F(Scenario, AnOldReservedDoesNotDestroyAVmThatWasPausedLater) {
  a.hypervisor.script().fail(FakeStep::memory, kTrouble);
  b.journal->fail_at("refused");
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  b.journal->fail_at("");
  expect_moves(a, b);
  b.hypervisor.pause(web1.id);
  b.kill_daemon();
  b.start_daemon();
  EXPECT_EQ(b.await_end(start(b, a)).phase, Phase::completed);
  EXPECT_EQ(*a.hypervisor.state(web1.id), DomainState::paused);
}

TEST_F(Scenario, ARunningThatCouldNotBeWrittenIsToldNevertheless) {
  b.journal->fail_at("running");
  network.set_judge(cut_at<Verdict>(LoopbackNetwork::Fate::cut_before));
  const auto id = start(a, b);
  cut_then_heal(network, a, id, [&] { b.journal->fail_at(""); });
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

}  // namespace
}  // namespace vmigrate::migration
