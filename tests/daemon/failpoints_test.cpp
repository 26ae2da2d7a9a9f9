#include "daemon/failpoints.hpp"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.hpp"

namespace vmigrate::daemon {
namespace {

using testing::HasSubstr;

class FailpointsTest : public testing::Test {
 protected:
  std::unique_ptr<handover::Journal> open() const {
    return std::move(*handover::open_journal(folder_.file("journal.db")));
  }
  handover::Record record(const std::string& state) const {
    handover::Record record;
    record.migration = id_;
    record.vm = *VmId::parse("123e4567-e89b-12d3-a456-426614174000");
    record.vm_name = "web1";
    record.state = state;
    return record;
  }
  /// In a process of its own, which the failpoint may end or stop: how that came out.
  int status_of_writing(const std::string& failpoint, const std::string& state) const {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto journal = with_failpoint(open(), failpoint);
      ::_exit(journal && (*journal)->write(record(state)) ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    return status;
  }
  bool is_written() const { return open()->find(id_, handover::Role::source)->has_value(); }

  const TemporaryFolder folder_;
  const MigrationId id_ = MigrationId::random();
};

TEST_F(FailpointsTest, KillBeforeLosesThePromise) {
  const int status = status_of_writing("kill:before:relinquished", "relinquished");
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_FALSE(is_written());
}

TEST_F(FailpointsTest, KillAfterKeepsThePromise) {
  const int status = status_of_writing("kill:after:relinquished", "relinquished");
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(is_written());
}

TEST_F(FailpointsTest, StopStops) {
  const int before = status_of_writing("stop:before:in doubt", "in doubt");
  EXPECT_TRUE(WIFSTOPPED(before));
  EXPECT_FALSE(is_written());
  const int after = status_of_writing("stop:after:in doubt", "in doubt");
  EXPECT_TRUE(WIFSTOPPED(after));
  EXPECT_TRUE(is_written());
}

TEST_F(FailpointsTest, OtherPromisesAreWrittenAsEver) {
  EXPECT_EQ(status_of_writing("kill:before:relinquished", "preparing"), 0);
  EXPECT_TRUE(is_written());
}

TEST_F(FailpointsTest, WithoutOneTheJournalIsAsItWas) {
  auto journal = open();
  const auto* before = journal.get();
  const auto after = with_failpoint(std::move(journal), "");
  ASSERT_TRUE(after);
  EXPECT_EQ(after->get(), before);
}

TEST_F(FailpointsTest, WhatIsAskedOfTheJournalIsAnsweredByIt) {
  auto journal = std::move(*with_failpoint(open(), "kill:after:done"));
  auto promise = record("relinquished");
  promise.epoch = 12;
  ASSERT_TRUE(journal->write(promise));
  EXPECT_EQ(journal->find(id_, handover::Role::source)->value(), promise);
  EXPECT_EQ(journal->unfinished()->size(), 1U);
  EXPECT_EQ(*journal->last_epoch(promise.vm), 12U);
}

TEST_F(FailpointsTest, AMisspeltOneIsAnErrorAndNotATestThatNeverFails) {
  for (const auto* wrong : {"kill", "kill:after", "kill:after:", "kill:after:relinquishd", "maim:after:done",
                            "kill:during:done", ":", "::", "kill::done", " kill:after:done"}) {
    const auto journal = with_failpoint(open(), wrong);
    ASSERT_FALSE(journal) << wrong;
    EXPECT_EQ(journal.error().code, ErrorCode::usage);
    EXPECT_THAT(journal.error().message, HasSubstr(wrong));
    EXPECT_THAT(journal.error().hint, HasSubstr("kill:after:relinquished"));
  }
}

}  // namespace
}  // namespace vmigrate::daemon
