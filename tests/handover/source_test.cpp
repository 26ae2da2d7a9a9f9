#include "handover/source.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmigrate::handover::source {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using enum Action;

const Error kWhy{ErrorCode::failed, "no memory left", ""};

std::vector<State> all_states() {
  return {Preparing{}, Streaming{}, Stopped{},        Relinquished{},
          Releasing{}, Confirmed{}, Reclaiming{kWhy}, Reclaimed{kWhy}};
}

std::vector<Event> all_events() {
  return {StreamStarted{},
          VcpusStopped{},
          FinishRequested{false},
          FinishRequested{true},
          VerdictReceived{Outcome::undecided},
          VerdictReceived{Outcome::refused},
          VerdictReceived{Outcome::running},
          VerdictReceived{Outcome::in_doubt, "not seen"},
          VerdictReceived{Outcome::unknown, "no record"},
          CancelRequested{},
          Failed{kWhy},
          LinkLost{kWhy},
          HypervisorEnded{kWhy},
          VmIsBack{},
          CopyRemoved{},
          JournalFailed{kWhy},
          Restarted{},
          Resolved{}};
}

bool has(const Step& step, Action action) {
  return std::find(step.actions.begin(), step.actions.end(), action) != step.actions.end();
}

template <class S>
bool is(const State& state) {
  return std::holds_alternative<S>(state);
}

TEST(SourceMachine, TheWayToSuccess) {
  Step now{Preparing{}, {}};
  now = step(now.next, StreamStarted{});
  EXPECT_TRUE(is<Streaming>(now.next));
  now = step(now.next, VcpusStopped{});
  EXPECT_TRUE(is<Stopped>(now.next));
  now = step(now.next, FinishRequested{false});
  EXPECT_TRUE(is<Relinquished>(now.next));
  EXPECT_THAT(now.actions, ElementsAre(record, send_finish));
  now = step(now.next, VerdictReceived{Outcome::running});
  EXPECT_TRUE(is<Releasing>(now.next));
  EXPECT_THAT(now.actions, ElementsAre(answer_loaded));
  now = step(now.next, HypervisorEnded{});
  EXPECT_THAT(now.actions, ElementsAre(remove_here));
  now = step(now.next, CopyRemoved{});
  EXPECT_TRUE(is<Confirmed>(now.next));
  EXPECT_THAT(now.actions, ElementsAre(record, send_confirmed));
}

// The whole table: what may lead where. Anything not listed here stays where it is.
TEST(SourceMachine, EveryTransitionThereIs) {
  for (const State& state : all_states()) {
    for (const Event& event : all_events()) {
      SCOPED_TRACE(std::string(name(state)) + " + " + std::string(name(event)));
      const Step result = step(state, event);
      const auto from = state.index();
      const auto to = result.next.index();
      if (!result.legal) {
        EXPECT_EQ(from, to);
        EXPECT_THAT(result.actions, IsEmpty());
      } else if (from != to) {
        static const std::set<std::pair<std::size_t, std::size_t>> kEdges{
            {0, 1}, {1, 2}, {1, 3}, {2, 3}, {3, 4}, {4, 5}, {0, 6}, {1, 6}, {2, 6}, {3, 6}, {6, 3}, {6, 7}};
        EXPECT_TRUE(kEdges.contains({from, to})) << name(result.next);
      }
    }
  }
}

TEST(SourceMachine, FinishLeavesOnlyBehindTheDurablePromise) {
  for (const State& state : all_states()) {
    for (const Event& event : all_events()) {
      const Step result = step(state, event);
      if (!has(result, send_finish)) continue;
      EXPECT_TRUE(is<Relinquished>(result.next));
      EXPECT_EQ(result.actions.front(), record);
    }
  }
}

TEST(SourceMachine, ARelinquishedVmComesBackOnlyByRefusalByAPersonOrIfThePromiseWasNeverMade) {
  for (const Event& event : all_events()) {
    SCOPED_TRACE(name(event));
    const Step result = step(Relinquished{}, event);
    const auto* verdict = std::get_if<VerdictReceived>(&event);
    const bool may_come_back = (verdict != nullptr && verdict->outcome == Outcome::refused) ||
                               std::holds_alternative<Resolved>(event) ||
                               std::holds_alternative<JournalFailed>(event);
    EXPECT_EQ(is<Reclaiming>(result.next), may_come_back);
    EXPECT_EQ(has(result, answer_not_loaded), may_come_back);
    EXPECT_FALSE(has(result, abort_hypervisor));
    EXPECT_FALSE(has(result, reclaim));
  }
}

TEST(SourceMachine, ADecisionIsOnRecordBeforeTheVmComesBackAndDoesNotCountOtherwise) {
  const Step decided = step(Relinquished{}, Resolved{});
  EXPECT_TRUE(is<Reclaiming>(decided.next));
  EXPECT_THAT(decided.actions, ElementsAre(record, answer_not_loaded));
  const Step unwritten = step(decided.next, JournalFailed{kWhy});
  EXPECT_TRUE(is<Relinquished>(unwritten.next));
  EXPECT_THAT(unwritten.actions, ElementsAre(ask_destination));
  EXPECT_THAT(step(decided.next, Restarted{}).actions, ElementsAre(reclaim));
}

TEST(SourceMachine, TheCopyHereGoesOnlyWhenTheDestinationRunsIt) {
  for (const State& state : all_states()) {
    for (const Event& event : all_events()) {
      const Step result = step(state, event);
      if (has(result, answer_loaded)) {
        EXPECT_TRUE(is<Relinquished>(state));
        EXPECT_EQ(std::get<VerdictReceived>(event).outcome, Outcome::running);
      }
      if (has(result, remove_here)) {
        EXPECT_TRUE(is<Releasing>(state));
      }
    }
  }
}

TEST(SourceMachine, TroubleBeforeThePromiseBringsTheVmBack) {
  for (const State& state : {State(Preparing{}), State(Streaming{}), State(Stopped{})}) {
    for (const Event& event : {Event(CancelRequested{}), Event(Failed{kWhy}), Event(LinkLost{kWhy}),
                               Event(VerdictReceived{Outcome::refused, "no memory"})}) {
      const Step result = step(state, event);
      EXPECT_TRUE(is<Reclaiming>(result.next)) << name(state) << " + " << name(event);
      EXPECT_THAT(result.actions, ElementsAre(send_abort, abort_hypervisor));
    }
    EXPECT_THAT(step(state, HypervisorEnded{kWhy}).actions, ElementsAre(send_abort, reclaim));
    EXPECT_THAT(step(state, FinishRequested{true}).actions, ElementsAre(send_abort, answer_not_loaded));
  }
}

TEST(SourceMachine, AFinishThatComesWhileReclaimingIsAnsweredNo) {
  EXPECT_THAT(step(Reclaiming{kWhy}, FinishRequested{false}).actions, ElementsAre(answer_not_loaded));
}

TEST(SourceMachine, TheFirstReasonIsTheOneReported) {
  Step now = step(Streaming{}, Failed{kWhy});
  now = step(now.next, LinkLost{{ErrorCode::unreachable, "later", ""}});
  now = step(now.next, HypervisorEnded{{ErrorCode::failed, "operation aborted", ""}});
  EXPECT_THAT(now.actions, ElementsAre(reclaim));
  now = step(now.next, VmIsBack{});
  EXPECT_EQ(std::get<Reclaimed>(now.next).why, kWhy);
}

TEST(SourceMachine, WhenTheHypervisorFailsItsReasonIsTheOneReported) {
  Step now = step(Streaming{}, FinishRequested{true});
  now = step(now.next, HypervisorEnded{kWhy});
  now = step(now.next, VmIsBack{});
  EXPECT_EQ(std::get<Reclaimed>(now.next).why, kWhy);
}

TEST(SourceMachine, AVmThatEndedByItselfIsReportedAsThat) {
  const Step now = step(Reclaiming{kWhy}, VmIsBack{"the guest shut down"});
  EXPECT_EQ(std::get<Reclaimed>(now.next).why.message, "the guest shut down");
}

TEST(SourceMachine, DoubtIsShownAndGoesAwayWithAnAnswer) {
  Step now = step(Relinquished{}, VerdictReceived{Outcome::unknown, "hostb has no record of it"});
  EXPECT_EQ(std::get<Relinquished>(now.next).doubt, "hostb has no record of it");
  EXPECT_THAT(now.actions, ElementsAre(ask_destination));
  now = step(now.next, VerdictReceived{Outcome::undecided});
  EXPECT_EQ(std::get<Relinquished>(now.next).doubt, "");
}

TEST(SourceMachine, AFinishedMigrationDoesNothingMore) {
  for (const State& state : all_states()) {
    if (!is_final(state)) continue;
    for (const Event& event : all_events()) EXPECT_THAT(step(state, event).actions, IsEmpty());
  }
}

}  // namespace
}  // namespace vmigrate::handover::source
