#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.hpp"

namespace vmigrate::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// No daemon runs: what reaches for it exits with 8, what is wrong before with 2.
class UsageTest : public ProgramTest {};

TEST_F(UsageTest, WhatMakesNoSenseIsSaidWithTheWayToHelp) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "A subcommand is required"},
      {{"bogus"}, "there is no command 'bogus'"},
      {{"start", "web1"}, "HOST is required"},
      {{"start", "web1", "hostb", "hostc"}, "not expected: hostc"},
      {{"start", "web1", "hostb", "--max-pause", "300"},
       "'300' is not a number with a unit; write it like 300ms"},
      {{"start", "web1", "hostb", "--max-pause", "2h"}, "'2h' is not possible; 1ms to 30 min 0 s is"},
      {{"start", "web1", "hostb", "--max-pause", "0ms"}, "'0ms' is not possible"},
      {{"start", "web1", "hostb", "--bandwidth", "fast"}, "write it like 2Gbit"},
      {{"start", "web1", "hostb", "--bandwidth", "0MB"}, "nothing would move"},
      {{"start", "web1", "hostb", "--max-slowdown", "30"}, "'30' is not a percentage; write it like 30%"},
      {{"start", "web1", "hostb", "--max-slowdown", "91%"}, "'91%' is not possible; 0% to 90% is"},
      {{"list", "-o", "xml"}, "'xml' is not a format; use table, json or ndjson"},
      {{"list", "--bogus"}, "not expected: --bogus"},
      {{"history", "-n", "0"}, "--limit"},
      {{"history", "-n", "many"}, "--limit"},
      {{"resolve", "web1", "--run-here"}, "--i-have-fenced is required"},
      {{"resolve", "web1", "--i-have-fenced", "hostb"}, "--run-here is required"},
  };
  for (const auto& [arguments, message] : cases) {
    const auto ended = run(arguments);
    EXPECT_EQ(ended.exit_code, 2) << message;
    EXPECT_EQ(ended.output, "") << message;
    EXPECT_THAT(ended.errors, AllOf(HasSubstr("vmigrate: "), HasSubstr(message), HasSubstr("--help")));
  }
}

TEST_F(UsageTest, HelpIsAResultAndComesWithExamples) {
  for (const std::string command : {"start", "move", "check", "list", "show", "watch", "cancel", "history",
                                    "hosts", "pair", "peers", "doctor", "resolve", "version"}) {
    const auto ended = run({command, "--help"});
    EXPECT_EQ(ended.exit_code, 0);
    EXPECT_EQ(ended.errors, "");
    EXPECT_THAT(ended.output, AllOf(HasSubstr("Usage: vmigrate "), HasSubstr("Examples:\n  vmigrate ")))
        << command;
  }
  EXPECT_THAT(run({"--help"}).output, HasSubstr("Exit codes: 0 done"));
}

TEST_F(UsageTest, TheSocketIsTakenFromTheOptionBeforeTheEnvironment) {
  EXPECT_THAT(run({"list"}).errors, HasSubstr(socket_path()));
  EXPECT_THAT(run({"list", "--socket", "/nonexistent/a.sock"}).errors, HasSubstr("/nonexistent/a.sock"));
  EXPECT_THAT(run({"--socket", "/nonexistent/a.sock", "list"}).errors, HasSubstr("/nonexistent/a.sock"));
}

}  // namespace
}  // namespace vmigrate::cli
