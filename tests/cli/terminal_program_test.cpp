#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrations.hpp"
#include "program.hpp"

namespace vmigrate::cli {
namespace {

using testing::HasSubstr;

class TerminalTest : public ProgramTest {};

TEST_F(TerminalTest, ProgressIsRewrittenInPlaceAndGoneAtTheEnd) {
  start_daemon();
  const auto program = start_program({"start", "web1", "hostb"}, true);
  const auto asked = next_request();
  asked.responder->send(response_with(migration_in(control::PREPARE)));
  asked.responder->send(response_with(moving_memory()));
  asked.responder->finish(response_with(completed()));
  const auto ended = program->wait();
  EXPECT_EQ(ended.exit_code, 0);
  const std::string rewrite = "\r\x1b[2A\x1b[J";
  EXPECT_EQ(
      ended.errors,
      "web1 → hostb   prepare\r\n"
      "hostb makes room for web1\r\n" +
          rewrite +
          "web1 → hostb   memory, pass 2   412 MB/s guest (118 MB/s on the wire, 3.5x)   dirty 31.0 MB/s\r\n"
          "░░░░░░░░░░░░░░░░░░░░░░░░░  converging: ~1.4 s left, pause ~18 ms of 300 ms allowed\r\n" +
          rewrite);
  EXPECT_THAT(ended.output, HasSubstr("web1 runs on hostb: moved in 3.4 s"));
}

TEST_F(TerminalTest, ErrorsAreInColour) {
  start_daemon();
  const auto program = start_program({"list"}, true);
  next_request().responder->finish(error_response_with(1));
  EXPECT_THAT(program->wait().errors, HasSubstr("\x1b[31mvmigrate:\x1b[0m web1"));
}

TEST_F(TerminalTest, NamesCannotDriveTheTerminal) {
  start_daemon();
  const auto program = start_program({"start", "web1", "hostb"}, true);
  const auto asked = next_request();
  auto migration = moving_memory();
  migration.set_vm("\x1b]0;owned\x07");
  asked.responder->send(response_with(migration));
  auto error = failed(control::FAILED, 1);
  error.mutable_error()->set_message("\x1b[2Jgone");
  asked.responder->finish(response_with(error));
  const auto ended = program->wait();
  EXPECT_THAT(ended.errors, HasSubstr("?]0;owned? → hostb"));
  EXPECT_THAT(ended.errors, HasSubstr("?[2Jgone"));
}

}  // namespace
}  // namespace vmigrate::cli
