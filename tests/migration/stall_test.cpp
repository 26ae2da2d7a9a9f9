// A link that is lost and comes back is a stall; one that does not come back in time is what it always was.
#include <gmock/gmock.h>

#include "migration/messages.hpp"
#include "scenario.hpp"

namespace vmigrate::migration {
namespace {

using hypervisor::FakeStep;
using testing::HasSubstr;
using Fate = LoopbackNetwork::Fate;

constexpr Milliseconds kLong{60'000};

class Stalls : public Scenario {
 protected:
  /// Cuts the link once, at the first message of that kind; before or after it.
  template <class Message>
  void cut_at(const std::string& from, Fate fate) {
    network.set_judge([from, fate, done = std::make_shared<std::atomic<bool>>(false)](
                          const std::string& sender, peer::Lane lane, ByteView bytes) {
      if (sender != from || lane != peer::Lane::control) return Fate::deliver;
      const auto message = decode(bytes);
      if (!message || !std::holds_alternative<Message>(*message) || done->exchange(true))
        return Fate::deliver;
      return fate;
    });
  }

  Report await_stall(ScenarioHost& host) {
    return host.await("a stall",
                      [](const Report& report) { return report.progress.link.outage.has_value(); });
  }

  void expect_completed(const Report& report, std::uint32_t stalls) {
    EXPECT_EQ(report.phase, Phase::completed) << (report.error ? report.error->message : "");
    expect_runs_only_on(b);
    ASSERT_TRUE(report.receipt);
    EXPECT_EQ(report.receipt->link_stalls, stalls);
    EXPECT_FALSE(report.progress.link.outage);
  }
};

class StallsAtEachStep : public Stalls, public testing::WithParamInterface<FakeStep> {};
INSTANTIATE_TEST_SUITE_P(Steps, StallsAtEachStep,
                         testing::Values(FakeStep::ask_prepare, FakeStep::connect, FakeStep::memory,
                                         FakeStep::stopped, FakeStep::perform));

TEST_P(StallsAtEachStep, ACutThatHealsIsAStall) {
  allow_stalls(kLong, kLong);
  a.hypervisor.script().hold(GetParam());
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(GetParam()));
  network.cut();
  const auto stalled = await_stall(a);
  EXPECT_GT(stalled.progress.link.outage->window, Milliseconds(0));
  EXPECT_THAT(stalled.progress.link.outage->why, HasSubstr("hostb"));
  a.hypervisor.script().release(GetParam());
  network.heal();
  expect_completed(a.await_end(id), 1);
}

TEST_P(StallsAtEachStep, ACutForGoodBringsTheVmBackAndTheNextTryWorks) {
  allow_stalls(Milliseconds(50), Milliseconds(20));
  a.hypervisor.script().hold(GetParam());
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(GetParam()));
  network.cut();
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.vm_runs_on, "hosta");
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  a.hypervisor.script().release(GetParam());
  network.heal();
  expect_moves(a, b);
}

TEST_P(StallsAtEachStep, CancelDoesNotWaitForTheLink) {
  allow_stalls(kLong, kLong);
  a.hypervisor.script().hold(GetParam());
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(GetParam()));
  network.cut();
  await_stall(a);
  ASSERT_TRUE(a.daemon().cancel(id));
  EXPECT_EQ(a.await_end(id).phase, Phase::cancelled);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  a.hypervisor.script().release(GetParam());
  // The destination still waits for the link: the next offer tells it that nobody will come back.
  network.heal();
  expect_moves(a, b);
}

TEST_F(Stalls, FinishIsLostAndSentAgain) {
  allow_stalls(kLong, kLong);
  cut_at<Finish>("hosta", Fate::cut_before);
  const auto id = start(a, b);
  await_stall(a);
  EXPECT_TRUE(world->running_on(web1.id).empty());
  network.heal();
  expect_completed(a.await_end(id), 1);
}

TEST_F(Stalls, TheVerdictIsLostAndSentAgain) {
  allow_stalls(kLong, kLong);
  cut_at<Verdict>("hostb", Fate::cut_before);
  const auto id = start(a, b);
  await_stall(a);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"});
  network.heal();
  expect_completed(a.await_end(id), 1);
}

// Behind the promise no window makes the source run the VM: it asks, for as long as it takes.
TEST_F(Stalls, BehindThePromiseTheSourceWaitsHoweverShortTheWindowIs) {
  allow_stalls(Milliseconds(50), Milliseconds(10));
  cut_at<Verdict>("hostb", Fate::cut_before);
  const auto id = start(a, b);
  a.await("doubt",
          [&](const Report& report) { return report.id == id && report.phase == Phase::needs_attention; });
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hostb"});
  network.heal();
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::completed);
  expect_runs_only_on(b);
}

TEST_F(Stalls, AFinishThatWasGivenUpIsNeverLoaded) {
  allow_stalls(kLong, Milliseconds(20));
  cut_at<Finish>("hosta", Fate::cut_before);
  const auto id = start(a, b);
  a.await("doubt",
          [&](const Report& report) { return report.id == id && report.phase == Phase::needs_attention; });
  EXPECT_TRUE(world->running_on(web1.id).empty());
  network.heal();
  // The destination, which would have waited a minute, hears by the question that the session is given up.
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  expect_runs_only_on(a);
  expect_moves(a, b);
}

TEST_F(Stalls, TheWindowIsShortOnceTheVmStandsStill) {
  allow_stalls(kLong, Milliseconds(20));
  a.hypervisor.script().hold(FakeStep::perform);
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(FakeStep::perform));
  network.cut();
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  a.hypervisor.script().release(FakeStep::perform);
  network.heal();
  expect_moves(a, b);
}

TEST_F(Stalls, AVmThatStandsStillWaitsForTenPausesAtMost) {
  allow_stalls(kLong, kLong);
  a.hypervisor.script().hold(FakeStep::perform);
  StartOptions options;
  options.host = "hostb";
  options.max_pause = Milliseconds(20);
  const auto id = a.daemon().start("web1", options);
  ASSERT_TRUE(id) << id.error().message;
  ASSERT_TRUE(a.hypervisor.script().reached(FakeStep::perform));
  network.cut();
  const auto stalled = a.await("the shorter window", [](const Report& report) {
    return report.progress.link.outage && report.progress.link.outage->window < kLong;
  });
  EXPECT_EQ(stalled.progress.link.outage->window, Milliseconds(200));
  EXPECT_EQ(a.await_end(*id).phase, Phase::failed);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  a.hypervisor.script().release(FakeStep::perform);
}

TEST_F(Stalls, ASourceThatWasRestartedTellsADestinationThatWaitsForIt) {
  allow_stalls(kLong, kLong);
  a.hypervisor.script().hold(FakeStep::memory);
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(FakeStep::memory));
  a.kill_daemon();
  await_stall(b);
  a.hypervisor.script().release(FakeStep::memory);
  a.start_daemon();
  a.await_end(id);
  b.await("the refusal", [&](const Report& report) {
    return report.id == id && report.role == handover::Role::destination && has_ended(report.phase);
  });
  expect_runs_only_on(a);
  expect_moves(a, b);
}

}  // namespace
}  // namespace vmigrate::migration
