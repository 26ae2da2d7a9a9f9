#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrations.hpp"
#include "program.hpp"

namespace vmigrate::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class FollowTest : public ProgramTest {
 protected:
  /// `vmigrate start web1 hostb`, up to the moment at which memory moves.
  void start(const std::vector<std::string>& more = {}) {
    start_daemon();
    std::vector<std::string> arguments{"start", "web1", "hostb"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    program_ = start_program(arguments);
    auto asked = next_request();
    request_ = asked.request;
    reports_ = asked.responder;
    reports_->send(response_with(migration_in(control::CHECK)));
    reports_->send(response_with(moving_memory()));
  }

  std::unique_ptr<Program> program_;
  control::Request request_;
  std::shared_ptr<control::Responder> reports_;
};

TEST_F(FollowTest, AMoveShowsItsProgressAndEndsWithTheReceipt) {
  start();
  reports_->send(response_with(migration_in(control::SWITCHOVER)));
  reports_->finish(response_with(completed()));
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_EQ(ended.errors,
            "web1 → hostb: check: asking whether web1 can run on hostb\n"
            "web1 → hostb: memory, pass 2: 412 MB/s guest (118 MB/s on the wire, 3.5x), dirty 31.0 MB/s, "
            "converging: "
            "~1.4 s left, pause ~18 ms of 300 ms allowed\n"
            "web1 → hostb: switchover: web1 stands still while hostb takes it over\n");
  EXPECT_THAT(ended.output, HasSubstr("web1 runs on hostb: moved in 3.4 s, paused for 18 ms\n"));
  EXPECT_THAT(ended.output, Not(HasSubstr("\x1b"))) << "no colours off a terminal";
}

TEST_F(FollowTest, OffATerminalThereIsALineASecond) {
  start();
  auto migration = moving_memory();
  for (std::uint32_t elapsed = 5000; elapsed <= 8000; elapsed += 250) {
    migration.mutable_progress()->set_elapsed_ms(elapsed);
    migration.mutable_progress()->set_guest_rate(std::uint64_t{elapsed} * 1000);
    reports_->send(response_with(migration));
    if (elapsed % 1000 == 0 && elapsed > 5000) {
      program_->wait_for_error_text("pass 2: " + std::to_string(elapsed / 1000) + ".0 MB/s guest");
    }
  }
  reports_->finish(response_with(completed()));
  const auto ended = program_->wait();
  EXPECT_EQ(std::ranges::count(ended.errors, '\n'), 5) << ended.errors;
}

TEST_F(FollowTest, OffATerminalNothingIsSaidTwice) {
  start();
  auto migration = migration_in(control::CLEAN_UP);
  for (std::uint32_t elapsed = 6000; elapsed <= 9000; elapsed += 1000) {
    migration.mutable_progress()->set_elapsed_ms(elapsed);
    reports_->send(response_with(migration));
  }
  reports_->finish(response_with(completed()));
  EXPECT_EQ(std::ranges::count(program_->wait().errors, '\n'), 3);
}

TEST_F(FollowTest, TheRequestSaysWhatWasAskedFor) {
  start({"--max-pause", "50ms", "--bandwidth", "2Gbit", "--keep-source-definition", "--max-slowdown", "30%"});
  const auto& asked = request_.start();
  EXPECT_EQ(asked.vm(), "web1");
  EXPECT_EQ(asked.host(), "hostb");
  EXPECT_EQ(asked.max_pause_ms(), 50u);
  EXPECT_EQ(asked.bandwidth(), 250'000'000u);
  EXPECT_TRUE(asked.keep_source_definition());
  EXPECT_EQ(asked.max_slowdown_percent(), 30u);
  EXPECT_TRUE(asked.wait());
}

TEST_F(FollowTest, AFailureSaysWhereTheVmRunsAndHasItsExitCode) {
  for (const auto& [phase, code, exit_code] :
       {std::tuple{control::FAILED, 1u, 1}, std::tuple{control::FAILED, 4u, 4},
        std::tuple{control::FAILED, 7u, 7}, std::tuple{control::CANCELLED, 6u, 6},
        std::tuple{control::NEEDS_ATTENTION, 9u, 9}}) {
    start();
    reports_->finish(response_with(failed(phase, code)));
    const auto ended = program_->wait();
    EXPECT_EQ(ended.exit_code, exit_code);
    EXPECT_EQ(ended.output, "");
    EXPECT_THAT(ended.errors, HasSubstr("vmigrate: web1 cannot be moved to hostb: the link broke\n"
                                        "  now: web1 runs on hosta\n"
                                        "  hint: try again\n"));
    kill_daemon();
  }
}

TEST_F(FollowTest, ARefusedRequestIsAnErrorWithItsExitCode) {
  const auto ended = run_answered({"start", "web1", "hostb"}, error_response_with(4));
  EXPECT_EQ(ended.exit_code, 4);
  EXPECT_THAT(ended.errors, HasSubstr("now: web1 runs on hosta"));
}

TEST_F(FollowTest, WhatNeedsAttentionForAWhileOnlyIsFollowedOn) {
  start();
  reports_->send(response_with(failed(control::NEEDS_ATTENTION, 9)));
  program_->wait_for_error_text("needs attention: web1 cannot be moved to hostb: the link broke; trying on");
  reports_->finish(response_with(completed()));
  EXPECT_EQ(program_->wait().exit_code, 0);
}

TEST_F(FollowTest, CtrlCAsksForCancelAndWaitsUntilTheVmRunsAgain) {
  start();
  program_->wait_for_error_text("memory, pass 2");
  program_->interrupt();
  const auto cancel = next_request();
  EXPECT_EQ(cancel.request.cancel().vm_or_id(), moving_memory().id());
  program_->wait_for_error_text("cancelling; waiting until web1 runs on as before");
  cancel.responder->finish(response_with(failed(control::CANCELLED, 6)));
  reports_->finish(response_with(failed(control::CANCELLED, 6)));
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 6);
  EXPECT_THAT(ended.errors, HasSubstr("now: web1 runs on hosta"));
}

TEST_F(FollowTest, CtrlCBeforeAnythingIsKnownCancelsAsSoonAsItIs) {
  start_daemon();
  program_ = start_program({"start", "web1", "hostb"});
  const auto asked = next_request();
  program_->interrupt();
  program_->wait_for_error_text("cancelling; waiting until web1 runs on as before");
  asked.responder->send(response_with(migration_in(control::CHECK)));
  EXPECT_EQ(next_request().request.cancel().vm_or_id(), moving_memory().id());
  asked.responder->finish(response_with(failed(control::CANCELLED, 6)));
  EXPECT_EQ(program_->wait().exit_code, 6);
}

TEST_F(FollowTest, WhenItIsTooLateToCancelItSaysSoAndGoesOn) {
  start();
  program_->wait_for_error_text("memory, pass 2");
  program_->interrupt();
  const auto cancel = next_request();
  cancel.responder->finish(error_response_with(4));
  program_->wait_for_error_text("it cannot be cancelled: web1 cannot be moved");
  reports_->finish(response_with(completed()));
  EXPECT_EQ(program_->wait().exit_code, 0);
}

TEST_F(FollowTest, CtrlCTwiceDetachesAndSaysSo) {
  start();
  program_->wait_for_error_text("memory, pass 2");
  program_->interrupt();
  const auto cancel = next_request();
  program_->interrupt();
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 130);
  EXPECT_THAT(ended.errors, HasSubstr("detached: the migration of web1 goes on, and was asked to cancel\n"
                                      "  follow it: vmigrate watch web1\n"));
}

TEST_F(FollowTest, WatchingEndsWithCtrlCAndTheMigrationDoesNot) {
  start_daemon();
  program_ = start_program({"watch", "web1"});
  const auto asked = next_request();
  EXPECT_EQ(asked.request.watch().vm_or_id(), "web1");
  asked.responder->send(response_with(moving_memory()));
  program_->wait_for_error_text("memory, pass 2");
  program_->interrupt();
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 130);
  EXPECT_THAT(ended.errors, HasSubstr("detached: the migration of web1 goes on\n"));
}

TEST_F(FollowTest, WatchingHasTheMigrationsOwnResult) {
  const auto ended = run_answered({"watch", "3f2a91c0"}, response_with(completed()));
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_THAT(ended.output, HasSubstr("web1 runs on hostb"));
}

TEST_F(FollowTest, ADaemonThatGoesAwayHalfWayLeavesItNotSure) {
  start();
  program_->wait_for_error_text("memory, pass 2");
  kill_daemon();
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 9);
  EXPECT_THAT(ended.errors, HasSubstr("it is not known how the migration of web1 goes on"));
  EXPECT_THAT(ended.errors, HasSubstr("now: the two hosts see to it that no more than one copy runs"));
  EXPECT_THAT(ended.errors, HasSubstr("vmigrate show web1"));
}

TEST_F(FollowTest, ResultsAsJsonAreOneDocument) {
  start({"-o", "json"});
  reports_->finish(response_with(completed()));
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_THAT(ended.output, HasSubstr("{\n  \"id\": \"3f2a91c0-"));
  EXPECT_THAT(ended.output, HasSubstr("    \"pause_ms\": 18,\n"));
  EXPECT_THAT(ended.errors, HasSubstr("memory, pass 2"));
}

TEST_F(FollowTest, EventsAsJsonAreALineEach) {
  start({"-o", "ndjson"});
  reports_->finish(response_with(failed(control::FAILED, 1)));
  const auto ended = program_->wait();
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_EQ(std::ranges::count(ended.output, '\n'), 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("\"phase\":\"CHECK\""));
  EXPECT_THAT(ended.output, HasSubstr("\"phase\":\"MEMORY\""));
  EXPECT_THAT(ended.output, HasSubstr("\"phase\":\"FAILED\""));
  EXPECT_THAT(ended.errors, HasSubstr("the link broke"));
}

}  // namespace
}  // namespace vmigrate::cli
