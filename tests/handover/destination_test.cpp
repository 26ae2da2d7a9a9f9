#include "handover/destination.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmigrate::handover::destination {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using enum Action;

const Error kWhy{ErrorCode::failed, "QEMU died", ""};

std::vector<State> all_states() {
  return {Reserved{}, Incoming{},     Loading{},     Started{},    Running{},
          Done{},     Refusing{kWhy}, Refused{kWhy}, InDoubt{kWhy}};
}

std::vector<Event> all_events() {
  return {Prepared{},      FinishReceived({}),  FinishReceived(fail(kWhy)),
          Loaded{},        Failed{kWhy},        AbortReceived{kWhy},
          LinkLost{kWhy},  Discarded{},         VcpusRun{},
          VmMissing{kWhy}, ConfirmedReceived{}, JournalFailed{kWhy},
          Restarted{},     TakenBack{}};
}

bool has(const Step& step, Action action) {
  return std::find(step.actions.begin(), step.actions.end(), action) != step.actions.end();
}

template <class S>
bool is(const State& state) {
  return std::holds_alternative<S>(state);
}

TEST(DestinationMachine, TheWayToSuccess) {
  Step now = step(Reserved{}, Prepared{});
  EXPECT_TRUE(is<Incoming>(now.next));
  now = step(now.next, FinishReceived({}));
  EXPECT_TRUE(is<Loading>(now.next));
  EXPECT_THAT(now.actions, ElementsAre(finish));
  now = step(now.next, Loaded{});
  EXPECT_TRUE(is<Started>(now.next));
  EXPECT_THAT(now.actions, ElementsAre(record, resume));
  now = step(now.next, VcpusRun{});
  EXPECT_TRUE(is<Running>(now.next));
  EXPECT_THAT(now.actions, ElementsAre(record, send_verdict));
  now = step(now.next, ConfirmedReceived{});
  EXPECT_TRUE(is<Done>(now.next));
}

TEST(DestinationMachine, EveryTransitionThereIs) {
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
            {0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {0, 6}, {1, 6}, {2, 6}, {3, 6}, {6, 7}, {3, 8}, {8, 6}};
        EXPECT_TRUE(kEdges.contains({from, to})) << name(result.next);
      }
    }
  }
}

TEST(DestinationMachine, VcpusAreResumedOnlyBehindTheDurableCommit) {
  for (const State& state : all_states()) {
    for (const Event& event : all_events()) {
      const Step result = step(state, event);
      if (!has(result, resume)) continue;
      EXPECT_TRUE(is<Started>(result.next));
      // After a restart the record is what brought the state here.
      if (!std::holds_alternative<Restarted>(event)) {
        EXPECT_EQ(result.actions.front(), record);
      }
    }
  }
}

TEST(DestinationMachine, OnceCommittedItRefusesOnlyByDecisionOrIfTheCommitWasNotWritten) {
  for (const State& state : {State(Started{}), State(Running{}), State(Done{}), State(InDoubt{kWhy})}) {
    for (const Event& event : all_events()) {
      const bool commit_failed = is<Started>(state) && std::holds_alternative<JournalFailed>(event);
      const bool decided =
          (is<Started>(state) || is<InDoubt>(state)) && std::holds_alternative<TakenBack>(event);
      const Step result = step(state, event);
      EXPECT_EQ(is<Refusing>(result.next) || is<Refused>(result.next), commit_failed || decided)
          << name(state) << " + " << name(event);
      EXPECT_EQ(has(result, discard), commit_failed || decided);
      // A restart would run it.
      if (decided) {
        EXPECT_EQ(result.actions.front(), record);
      }
    }
  }
}

TEST(DestinationMachine, ARefusalIsSaidOnlyOnceNothingIsLeft) {
  for (const State& state : all_states()) {
    for (const Event& event : all_events()) {
      if (!is<Refused>(step(state, event).next) || is<Refused>(state)) continue;
      EXPECT_TRUE(is<Refusing>(state)) << name(state) << " + " << name(event);
      EXPECT_TRUE(std::holds_alternative<Discarded>(event)) << name(event);
    }
  }
}

TEST(DestinationMachine, TroubleBeforeTheCommitRefuses) {
  for (const State& state : {State(Reserved{}), State(Incoming{})}) {
    for (const Event& event : {Event(Failed{kWhy}), Event(AbortReceived{kWhy}), Event(LinkLost{kWhy}),
                               Event(Restarted{}), Event(JournalFailed{kWhy})}) {
      EXPECT_THAT(step(state, event).actions, ElementsAre(discard)) << name(state) << " + " << name(event);
    }
  }
  EXPECT_THAT(step(Incoming{}, FinishReceived(fail(kWhy))).actions, ElementsAre(discard));
  EXPECT_THAT(step(Loading{}, Failed{kWhy}).actions, ElementsAre(discard));
}

TEST(DestinationMachine, ALostLinkDoesNotUndoAPromisedHandover) {
  for (const State& state : {State(Loading{}), State(Started{}), State(Running{})}) {
    const Step result = step(state, LinkLost{kWhy});
    EXPECT_EQ(result.next.index(), state.index());
    EXPECT_THAT(result.actions, IsEmpty());
  }
}

TEST(DestinationMachine, WhatASourceIsTold) {
  EXPECT_EQ(outcome(Loading{}), Outcome::undecided);
  EXPECT_EQ(outcome(Started{}), Outcome::undecided);
  EXPECT_EQ(outcome(Refusing{kWhy}), Outcome::undecided);
  EXPECT_EQ(outcome(Refused{kWhy}), Outcome::refused);
  EXPECT_EQ(outcome(Running{}), Outcome::running);
  EXPECT_EQ(outcome(Done{}), Outcome::running);
  EXPECT_EQ(outcome(InDoubt{kWhy}), Outcome::in_doubt);
}

}  // namespace
}  // namespace vmigrate::handover::destination
