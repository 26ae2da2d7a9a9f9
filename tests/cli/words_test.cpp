#include "cli/words.hpp"

#include <gtest/gtest.h>

#include "migrations.hpp"

namespace vmigrate::cli {
namespace {

TEST(ExitCode, TellsSafeFromNotSure) {
  EXPECT_EQ(exit_code_of(completed()), 0);
  EXPECT_EQ(exit_code_of(failed(control::FAILED, 1)), 1);
  EXPECT_EQ(exit_code_of(failed(control::FAILED, 7)), 7);
  EXPECT_EQ(exit_code_of(failed(control::CANCELLED, 6)), 6);
  EXPECT_EQ(exit_code_of(failed(control::NEEDS_ATTENTION, 9)), 9);
  EXPECT_EQ(exit_code_of(failed(control::NEEDS_ATTENTION, 0)), 9);
  EXPECT_EQ(exit_code_of(moving_memory()), 9) << "its end is not known";
}

TEST(ExitCode, IsOneOfThoseThatAreDocumentedWhateverTheDaemonSays) {
  EXPECT_EQ(exit_code_of(failed(control::FAILED, 0)), 1);
  EXPECT_EQ(exit_code_of(failed(control::FAILED, 10)), 1);
  EXPECT_EQ(exit_code_of(failed(control::FAILED, 256)), 1);
}

TEST(Printable, WhatDrivesATerminalIsReplacedEverywhereInAMessage) {
  auto migration = completed();
  migration.set_vm("web\x1b[2J1\n");
  migration.mutable_error()->set_message(
      "größer \xc2\x9b"
      "2J \x7f");
  migration.mutable_receipt()->mutable_announcements(0)->set_addresses(1, "a\rb");
  make_printable(&migration);
  EXPECT_EQ(migration.vm(), "web?[2J1?");
  EXPECT_EQ(migration.error().message(), "größer ?2J ?");
  EXPECT_EQ(migration.receipt().announcements(0).addresses(0), "10.0.0.5");
  EXPECT_EQ(migration.receipt().announcements(0).addresses(1), "a?b");
}

TEST(Words, EnumerateInEnglish) {
  google::protobuf::RepeatedPtrField<std::string> words;
  EXPECT_EQ(enumerated(words), "");
  words.Add("a");
  EXPECT_EQ(enumerated(words), "a");
  words.Add("b");
  words.Add("c");
  EXPECT_EQ(enumerated(words), "a, b and c");
}

}  // namespace
}  // namespace vmigrate::cli
