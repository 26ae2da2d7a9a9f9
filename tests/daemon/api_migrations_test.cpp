// What a client of the control socket is answered while a VM moves.
#include <gmock/gmock.h>

#include "daemon_fixture.hpp"
#include "migration/messages.hpp"

namespace vmigrate::daemon {
namespace {

using hypervisor::DomainState;
using hypervisor::FakeStep;
using migration::LoopbackNetwork;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ApiMigrationsTest : public DaemonTest {
 protected:
  static control::Request waiting_start() {
    auto request = start_request();
    request.mutable_start()->set_wait(true);
    return request;
  }
  static control::Request cancel_request(const std::string& vm_or_id = "web1") {
    control::Request request;
    request.mutable_cancel()->set_vm_or_id(vm_or_id);
    return request;
  }
  static control::Request watch_request(const std::string& vm_or_id = "web1") {
    control::Request request;
    request.mutable_watch()->set_vm_or_id(vm_or_id);
    return request;
  }
  static control::Request resolve_request(const std::string& host) {
    control::Request request;
    request.mutable_resolve()->set_vm("web1");
    request.mutable_resolve()->set_fenced_host(host);
    return request;
  }
  /// The answer to a start that is still in its memory phase, and stays there until go_on().
  std::shared_ptr<Answers> start_and_hold() {
    hypervisor_.script().hold(FakeStep::memory);
    auto answers = ask(waiting_start());
    EXPECT_TRUE(hypervisor_.script().reached(FakeStep::memory));
    return answers;
  }
  void go_on() { hypervisor_.script().release(FakeStep::memory); }
  /// The link breaks when the VM is handed over, and stays so.
  std::shared_ptr<Answers> start_into_doubt() {
    network_.set_judge([](const std::string&, peer::Lane lane, ByteView bytes) {
      const auto message = lane == peer::Lane::control ? migration::decode(bytes) : migration::decode({});
      return message && std::holds_alternative<migration::Finish>(*message)
                 ? LoopbackNetwork::Fate::cut_before
                 : LoopbackNetwork::Fate::deliver;
    });
    auto answers = ask(waiting_start());
    answers->await(control::NEEDS_ATTENTION);
    return answers;
  }
};

// --- Start

TEST_F(ApiMigrationsTest, WhoWaitsIsToldHowItGoesAndThenTheReceipt) {
  const auto answers = ask(waiting_start());
  const auto end = answers->last().migration();
  EXPECT_EQ(end.phase(), control::COMPLETED) << end.error().message();
  EXPECT_EQ(end.vm_runs_on(), "hostb");
  EXPECT_TRUE(end.receipt().memory_verified());
  EXPECT_EQ(end.requested_by(), "alice (uid 1000)");
  ASSERT_THAT(answers->before_the_last(), Not(IsEmpty()));
  for (const auto& response : answers->before_the_last()) {
    EXPECT_EQ(response.migration().id(), end.id());
    EXPECT_LT(response.migration().phase(), control::COMPLETED);
  }
}

TEST_F(ApiMigrationsTest, WhoDoesNotWaitIsToldWhichMigrationItIsAtOnce) {
  hypervisor_.script().hold(FakeStep::memory);
  const auto answers = ask(start_request());
  EXPECT_TRUE(answers->has_finished());
  const auto migration = answers->last().migration();
  EXPECT_EQ(migration.vm(), "web1");
  EXPECT_EQ(migration.destination_host(), "hostb");
  go_on();
  EXPECT_EQ(ask(watch_request(migration.id()))->last().migration().phase(), control::COMPLETED);
}

TEST_F(ApiMigrationsTest, TheConfiguredPauseHoldsUnlessTheRequestNamesOne) {
  configuration_.migration.max_pause = Milliseconds(77);
  EXPECT_EQ(ask(waiting_start())->last().migration().progress().max_pause_ms(), 77U);
}

TEST_F(ApiMigrationsTest, ARequestedPauseHolds) {
  auto request = waiting_start();
  request.mutable_start()->set_max_pause_ms(55);
  EXPECT_EQ(ask(request)->last().migration().progress().max_pause_ms(), 55U);
}

TEST_F(ApiMigrationsTest, AnUnknownVmIsNotFound) {
  const auto error = answer(start_request("web2")).error();
  EXPECT_EQ(error.code(), 3U);
  EXPECT_EQ(error.vm_state(), "");
}

TEST_F(ApiMigrationsTest, AVmThatIsThereAlreadyIsRefused) {
  const auto error = answer(start_request("web1", "hosta")).error();
  EXPECT_EQ(error.code(), 4U);
  EXPECT_EQ(error.vm_state(), "web1 runs on hosta");
}

TEST_F(ApiMigrationsTest, ASecondMigrationOfAVmIsRefusedAndTheFirstGoesOn) {
  const auto first = start_and_hold();
  const auto error = answer(start_request()).error();
  EXPECT_EQ(error.code(), 4U);
  EXPECT_THAT(error.message(), HasSubstr("already under way"));
  EXPECT_THAT(error.hint(), HasSubstr("vmigrate show web1"));
  go_on();
  EXPECT_EQ(first->last().migration().phase(), control::COMPLETED);
}

TEST_F(ApiMigrationsTest, WhatStandsAgainstItIsTheErrorAndTheVmRunsOn) {
  hostb_.hypervisor.set_findings({}, {{ErrorCode::refused, "no bridge br0", "create it"}});
  const auto end = ask(waiting_start())->last().migration();
  EXPECT_EQ(end.phase(), control::FAILED);
  EXPECT_EQ(end.error().code(), 4U);
  EXPECT_THAT(end.error().message(), HasSubstr("no bridge br0"));
  EXPECT_EQ(end.error().vm_state(), "web1 runs on hosta");
  EXPECT_EQ(*hypervisor_.state(web1_.id), DomainState::running);
}

TEST_F(ApiMigrationsTest, AHostThatDoesNotAnswerIsUnreachableAndTheVmRunsOn) {
  network_.silence("hostb");
  const auto end = ask(waiting_start())->last().migration();
  EXPECT_EQ(end.phase(), control::FAILED);
  EXPECT_EQ(end.error().code(), 8U);
  EXPECT_EQ(end.error().vm_state(), "web1 runs on hosta");
}

TEST_F(ApiMigrationsTest, AWishForAStallThatItDoesNotKnowIsRefusedAndNotGuessed) {
  for (const int unknown : {-1, 3, 1000}) {
    auto request = start_request();
    request.mutable_start()->set_on_stall(static_cast<control::OnStall>(unknown));
    const auto error = answer(request).error();
    EXPECT_EQ(error.code(), 2U);
    EXPECT_EQ(error.vm_state(), "web1 runs on hosta");
    EXPECT_THAT(error.hint(), HasSubstr("vmigrate version"));
  }
  EXPECT_THAT(board_.active(), IsEmpty());
}

TEST_F(ApiMigrationsTest, SlowingAVmToAStandstillIsRefused) {
  for (const std::uint32_t percent : {91U, 100U, 4'000'000'000U}) {
    auto request = start_request();
    request.mutable_start()->set_max_slowdown_percent(percent);
    const auto error = answer(request).error();
    EXPECT_EQ(error.code(), 2U);
    EXPECT_EQ(error.vm_state(), "web1 runs on hosta");
    EXPECT_THAT(error.message(), HasSubstr("at most 90%"));
  }
  EXPECT_THAT(board_.active(), IsEmpty());
}

// --- Watch

TEST_F(ApiMigrationsTest, AWatcherSeesTheRestAndTheEnd) {
  const auto starter = start_and_hold();
  const auto watcher = ask(watch_request());
  ASSERT_THAT(watcher->before_the_last(), Not(IsEmpty()));  // how it stands, at once
  EXPECT_FALSE(watcher->has_finished());
  go_on();
  EXPECT_EQ(watcher->last().migration().phase(), control::COMPLETED);
  EXPECT_EQ(starter->last().migration().phase(), control::COMPLETED);
}

TEST_F(ApiMigrationsTest, AWatcherOfThePastIsToldHowItEnded) {
  ask(waiting_start())->last();
  const auto watcher = ask(watch_request());
  EXPECT_EQ(watcher->last().migration().phase(), control::COMPLETED);
  EXPECT_THAT(watcher->before_the_last(), IsEmpty());
  EXPECT_EQ(answer(watch_request("db")).error().code(), 3U);
}

TEST_F(ApiMigrationsTest, AClientThatGoesDoesNotEndTheMigration) {
  const auto starter = start_and_hold();
  const auto watcher = ask(watch_request());
  starter->disconnect();
  const auto seen = starter->before_the_last().size();
  go_on();
  EXPECT_EQ(watcher->last().migration().phase(), control::COMPLETED);
  EXPECT_FALSE(starter->has_finished());
  EXPECT_GE(starter->before_the_last().size(), seen);
}

// --- Cancel

TEST_F(ApiMigrationsTest, ACancelIsAnsweredWhenTheVmRunsHereAgain) {
  const auto starter = start_and_hold();
  const auto canceller = ask(cancel_request());
  const auto end = canceller->last().migration();
  EXPECT_EQ(end.phase(), control::CANCELLED);
  EXPECT_EQ(end.error().code(), 6U);
  EXPECT_EQ(end.error().vm_state(), "web1 runs on hosta");
  EXPECT_THAT(canceller->before_the_last(), IsEmpty());
  EXPECT_EQ(*hypervisor_.state(web1_.id), DomainState::running);
  EXPECT_EQ(starter->last().migration().phase(), control::CANCELLED);
}

TEST_F(ApiMigrationsTest, ACancelThatComesTooLateIsRefusedAndSaysWhereTheVmRuns) {
  ask(waiting_start())->last();
  const auto error = answer(cancel_request()).error();
  EXPECT_EQ(error.code(), 4U);
  EXPECT_THAT(error.message(), HasSubstr("over already"));
  EXPECT_EQ(error.vm_state(), "web1 runs on hostb");
}

TEST_F(ApiMigrationsTest, ACancelOfNothingIsNotFound) {
  EXPECT_EQ(answer(cancel_request()).error().code(), 3U);
}

// --- Doubt

TEST_F(ApiMigrationsTest, AMigrationInDoubtSaysSoAndEndsByTheAdministratorsWord) {
  const auto starter = start_into_doubt();
  EXPECT_FALSE(starter->has_finished());
  const auto shown = starter->before_the_last().back().migration();
  EXPECT_EQ(shown.phase(), control::NEEDS_ATTENTION);
  EXPECT_EQ(shown.error().code(), 9U);
  EXPECT_THAT(shown.error().vm_state(), HasSubstr("not known where web1 runs"));

  const auto wrong = answer(resolve_request("hostc")).error();
  EXPECT_EQ(wrong.code(), 4U);
  EXPECT_THAT(wrong.message(), HasSubstr("other host of the VM is hostb, not hostc"));
  EXPECT_FALSE(starter->has_finished());

  EXPECT_TRUE(answer(resolve_request("hostb")).has_migration());
  EXPECT_EQ(starter->last().migration().vm_runs_on(), "hosta");
  EXPECT_EQ(*hypervisor_.state(web1_.id), DomainState::running);
}

TEST_F(ApiMigrationsTest, WithoutADoubtThereIsNothingToResolve) {
  EXPECT_EQ(answer(resolve_request("hostb")).error().code(), 3U);
  const auto starter = start_and_hold();
  EXPECT_EQ(answer(resolve_request("hostb")).error().code(), 3U);
  go_on();
  EXPECT_EQ(starter->last().migration().phase(), control::COMPLETED);
  EXPECT_EQ(answer(resolve_request("hostb")).error().code(), 3U);
}

TEST_F(ApiMigrationsTest, AVmWhoseDefinitionWasKeptIsTakenBackByTheAdministratorsWord) {
  auto request = waiting_start();
  request.mutable_start()->set_keep_source_definition(true);
  EXPECT_EQ(ask(request)->last().migration().phase(), control::COMPLETED);
  EXPECT_THAT(answer(resolve_request("hostc")).error().message(),
              HasSubstr("other host of the VM is hostb, not hostc"));
  EXPECT_TRUE(answer(resolve_request("hostb")).has_migration());
  EXPECT_EQ(answer(resolve_request("hostb")).error().code(), 3U);
}

TEST_F(ApiMigrationsTest, AHandoverThatGoesWellCannotBeResolvedIntoTwoCopies) {
  hostb_.hypervisor.script().hold(FakeStep::load);
  const auto starter = ask(waiting_start());
  ASSERT_TRUE(hostb_.hypervisor.script().reached(FakeStep::load));
  EXPECT_THAT(answer(resolve_request("hostb")).error().message(), HasSubstr("nothing is in doubt on hosta"));
  hostb_.hypervisor.script().release(FakeStep::load);
  EXPECT_EQ(starter->last().migration().vm_runs_on(), "hostb");
  EXPECT_EQ(world_->most_running_at_once(web1_.id), 1U);
}

}  // namespace
}  // namespace vmigrate::daemon
