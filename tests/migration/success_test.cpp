#include <gmock/gmock.h>

#include "scenario.hpp"

namespace vmigrate::migration {
namespace {

using hypervisor::DomainState;
using hypervisor::FakeStep;

TEST_F(Scenario, MovesThereAndBackTenTimes) {
  for (int hop = 0; hop < 10; ++hop) expect_moves(hop % 2 == 0 ? a : b, hop % 2 == 0 ? b : a);
}

TEST_F(Scenario, PromisesAreOnDiskBeforeWhatTheyAllow) {
  expect_moves(a, b);
  const auto at = [&](const std::string& line) {
    const auto position = world->position(line);
    EXPECT_LT(position, world->log().size()) << line << " is missing";
    return position;
  };
  EXPECT_LT(at("hosta: forget addresses"), at("hosta: journal relinquished"));
  EXPECT_LT(at("hosta: finish requested"), at("hosta: journal relinquished"));
  EXPECT_LT(at("hosta: journal relinquished"), at("hostb: journal started"));
  EXPECT_LT(at("hostb: journal started"), at("hostb: resume"));
  EXPECT_LT(at("hostb: resume"), at("hosta: answer finish: loaded"));
  EXPECT_LT(at("hosta: source removed"), at("hosta: journal confirmed"));
}

TEST_F(Scenario, TheReceiptAddsUp) {
  const auto report = a.await_end(start(a, b));
  ASSERT_TRUE(report.receipt);
  EXPECT_TRUE(report.receipt->memory_verified);
  EXPECT_GT(report.receipt->guest_bytes.count, 0U);
  EXPECT_GT(report.receipt->wire_bytes.count, 0U);
  EXPECT_LE(report.receipt->pause, report.receipt->total);
  ASSERT_EQ(report.receipt->announcements.size(), web1.interfaces.size());
  EXPECT_EQ(report.receipt->announcements[0].addresses, std::vector<std::string>{"10.0.0.7"});
}

TEST_F(Scenario, PhasesGoForwardOnly) {
  const auto id = start(a, b);
  a.await_end(id);
  std::vector<Phase> phases;
  for (const auto& report : a.reports_of(id)) {
    if (phases.empty() || phases.back() != report.phase) phases.push_back(report.phase);
  }
  EXPECT_EQ(phases, (std::vector{Phase::check, Phase::prepare, Phase::memory, Phase::switchover,
                                 Phase::clean_up, Phase::completed}));
}

/// Whether the destination says how much was taken.
class TakenIsSaid : public Scenario {
 protected:
  TakenIsSaid() {
    network.set_judge([this](const std::string&, peer::Lane lane, ByteView message) {
      const auto decoded = lane == peer::Lane::control ? decode(message) : fail(ErrorCode::failed, "");
      if (decoded && std::holds_alternative<Taken>(*decoded)) {
        said_ = true;
        said_.notify_all();
      }
      return LoopbackNetwork::Fate::deliver;
    });
  }
  // The daemons outlive what it is noted in.
  ~TakenIsSaid() override { network.set_judge({}); }

  std::atomic<bool> said_ = false;
};

TEST_F(TakenIsSaid, WhileMemoryComes) {
  a.hypervisor.script().hold(FakeStep::memory);
  const auto id = start(a, b);
  said_.wait(false);
  a.hypervisor.script().release(FakeStep::memory);
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
}

TEST_F(TakenIsSaid, ButNotToAHostThatWouldNotUnderstand) {
  network.set_features({});
  expect_moves(a, b);
  EXPECT_FALSE(said_);
}

TEST_F(Scenario, APausedVmStaysPaused) {
  a.hypervisor.pause(web1.id);
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::completed);
  EXPECT_EQ(*b.hypervisor.state(web1.id), DomainState::paused);
  EXPECT_EQ(*a.hypervisor.state(web1.id), DomainState::absent);
  EXPECT_EQ(world->most_running_at_once(web1.id), 1U);
}

TEST_F(Scenario, ADefinitionIsKeptWhenAskedFor) {
  StartOptions options;
  options.host = "hostb";
  options.keep_source_definition = true;
  const auto report = a.await_end(*a.daemon().start("web1", options));
  EXPECT_EQ(report.phase, Phase::completed);
  EXPECT_EQ(*a.hypervisor.state(web1.id), DomainState::shut_off);
  EXPECT_EQ(*b.hypervisor.state(web1.id), DomainState::running);
}

TEST_F(Scenario, TwoVmsPassEachOther) {
  const auto db1 = hypervisor::example_domain("db1");
  b.hypervisor.add(db1);
  a.hypervisor.script().hold(FakeStep::memory);
  b.hypervisor.script().hold(FakeStep::memory);
  const auto there = start(a, b);
  StartOptions options;
  options.host = "hosta";
  const auto back = b.daemon().start("db1", options);
  ASSERT_TRUE(back);
  EXPECT_TRUE(a.hypervisor.script().reached(FakeStep::memory));
  EXPECT_TRUE(b.hypervisor.script().reached(FakeStep::memory));
  a.hypervisor.script().release(FakeStep::memory);
  b.hypervisor.script().release(FakeStep::memory);
  EXPECT_EQ(a.await_end(there).phase, Phase::completed);
  EXPECT_EQ(b.await_end(*back).phase, Phase::completed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"});
  EXPECT_EQ(world->running_on(db1.id), std::set<std::string>{"hosta"});
}

TEST_F(Scenario, ASecondMigrationOfTheSameVmIsRefusedOnBothSides) {
  a.hypervisor.script().hold(FakeStep::memory);
  const auto first = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(FakeStep::memory));
  StartOptions options;
  options.host = "hostb";
  const auto second = a.daemon().start("web1", options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::refused);
  a.hypervisor.script().release(FakeStep::memory);
  EXPECT_EQ(a.await_end(first).phase, Phase::completed);
}

TEST_F(Scenario, WhatStandsAgainstItIsSaidAndNothingChanges) {
  b.hypervisor.set_findings({}, {{ErrorCode::refused, "the bridge br7 does not exist on hostb", "create it"},
                                 {ErrorCode::refused, "not enough memory on hostb", ""}});
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.error->code, ErrorCode::refused);
  EXPECT_EQ(report.error->message, "the bridge br7 does not exist on hostb; not enough memory on hostb");
  EXPECT_EQ(report.error->hint, "create it");
  EXPECT_EQ(report.vm_runs_on, "hosta");
  expect_runs_only_on(a);
  EXPECT_EQ(world->position("hosta: journal preparing"), world->log().size());
}

TEST_F(Scenario, UnknownVmsAndHostsAreErrorsAtOnce) {
  StartOptions options;
  options.host = "hostb";
  EXPECT_EQ(a.daemon().start("nobody", options).error().code, ErrorCode::not_found);
  options.host = "hosta";
  EXPECT_EQ(a.daemon().start("web1", options).error().code, ErrorCode::refused);
  options.host = "hostc";
  const auto report = a.await_end(*a.daemon().start("web1", options));
  EXPECT_EQ(report.phase, Phase::failed);
  expect_runs_only_on(a);
}

TEST_F(Scenario, CheckSaysWhatStartWouldAndChangesNothing) {
  EXPECT_TRUE(a.daemon().check(web1, "hostb")->empty());
  b.hypervisor.set_findings({}, {{ErrorCode::refused, "no", ""}});
  EXPECT_EQ(a.daemon().check(web1, "hostb")->size(), 1U);
  EXPECT_FALSE(a.daemon().check(web1, "hostc"));
  EXPECT_EQ(world->position("hostb: journal reserved"), world->log().size());
  EXPECT_EQ(*a.daemon().ping("hostb"), "test");
}

TEST_F(Scenario, AMoveThatIsNotDoneInTimeIsGivenUp) {
  a.hypervisor.script().hold(FakeStep::memory);
  StartOptions options;
  options.host = "hostb";
  options.finish_by = Milliseconds(1);
  const auto id = a.daemon().start("web1", options);
  ASSERT_TRUE(id);
  const auto report = a.await_end(*id);
  EXPECT_EQ(report.phase, Phase::failed);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code, ErrorCode::not_converging);
  a.hypervisor.script().release(FakeStep::memory);
  expect_runs_only_on(a);
  expect_moves(a, b);
}

TEST_F(Scenario, AMoveThatIsNotDoneInTimePausesTheVmWhenAskedTo) {
  a.hypervisor.script().hold(FakeStep::memory);
  StartOptions options;
  options.host = "hostb";
  options.finish_by = Milliseconds(1);
  options.on_stall = pacing::OnStall::pause;
  const auto id = a.daemon().start("web1", options);
  ASSERT_TRUE(id);
  a.await("a limit that stops the VM at once",
          [&](const Report&) { return a.hypervisor.max_pause() > std::chrono::minutes(1); });
  a.hypervisor.script().release(FakeStep::memory);
  EXPECT_EQ(a.await_end(*id).phase, Phase::completed);
  expect_runs_only_on(b);
}

/// Its VM changes its memory as fast as it moves, and time flies.
class BusyScenario : public Scenario {
 protected:
  BusyScenario() {
    a.hypervisor.make_busy();
    a.hypervisor.script().hold(FakeStep::memory);
  }

  MigrationId start_slowing(std::uint32_t most) {
    StartOptions options;
    options.host = "hostb";
    options.max_slowdown = Percent{most};
    const auto id = a.daemon().start("web1", options);
    EXPECT_TRUE(id);
    return id.value_or(MigrationId{});
  }

  /// The more reports there are, the later it is.
  Report await_in_time(const MigrationId& id, const std::string& what,
                       const std::function<bool(const Report&)>& fits) {
    return a.await(what, [&](const Report& report) {
      a.clock.advance(Milliseconds(100));
      return report.id == id && (fits(report) || has_ended(report.phase));
    });
  }
};

TEST_F(BusyScenario, IsSlowedStepByStepAndTheReceiptTellsHowFar) {
  const auto id = start_slowing(25);
  await_in_time(id, "25%", [](const Report& report) { return report.progress.slowdown == Percent{25}; });
  a.hypervisor.script().release(FakeStep::memory);
  const auto end = a.await_end(id);
  EXPECT_EQ(end.phase, Phase::completed);
  ASSERT_TRUE(end.receipt);
  EXPECT_EQ(end.receipt->slowdown, Percent{25});
  EXPECT_EQ(end.progress.slowdown, Percent{0});
  std::vector<std::uint32_t> steps{0};
  for (const auto& report : a.reports_of(id)) {
    const auto& progress = report.progress;
    EXPECT_EQ(progress.slowdown_reason.empty(), progress.slowdown == Percent{0});
    if (report.phase == Phase::memory && progress.slowdown.count != steps.back())
      steps.push_back(progress.slowdown.count);
  }
  EXPECT_EQ(steps, (std::vector<std::uint32_t>{0, 10, 20, 25}));
  expect_runs_only_on(b);
}

TEST_F(BusyScenario, IsGivenUpOnlyWhenTheCapDoesNotHelp) {
  const auto id = start_slowing(20);
  await_in_time(id, "the end", [](const Report&) { return false; });
  const auto end = a.await_end(id);
  EXPECT_EQ(end.phase, Phase::failed);
  EXPECT_EQ(end.error->code, ErrorCode::not_converging);
  EXPECT_THAT(end.error->message, testing::HasSubstr("slowed by 20%"));
  EXPECT_EQ(a.hypervisor.slowdown(), Percent{0});
  expect_runs_only_on(a);
}

TEST_F(BusyScenario, IsNotSlowedUnasked) {
  const auto id = start_slowing(0);
  await_in_time(id, "the end", [](const Report&) { return false; });
  EXPECT_EQ(a.await_end(id).phase, Phase::failed);
  for (const auto& report : a.reports_of(id)) EXPECT_EQ(report.progress.slowdown, Percent{0});
}

TEST_F(BusyScenario, IsGivenUpAllTheSameWhenItCannotBeSlowed) {
  a.hypervisor.script().fail(FakeStep::set_slowdown, Error{ErrorCode::failed, "QEMU does not"}, 9);
  const auto id = start_slowing(20);
  await_in_time(id, "the end", [](const Report&) { return false; });
  const auto end = a.await_end(id);
  EXPECT_EQ(end.error->code, ErrorCode::not_converging);
  expect_runs_only_on(a);
}

}  // namespace
}  // namespace vmigrate::migration
