// `vmigrate audit` and `vmigrate audit verify`, against a daemon that the test plays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.hpp"

namespace vmigrate::cli {
namespace {

using testing::HasSubstr;

class AuditProgramTest : public ProgramTest {
 protected:
  static control::Response page(std::uint64_t newest, std::uint64_t oldest, bool more) {
    control::Response response;
    for (auto number = newest; number >= oldest; --number) {
      auto* entry = response.mutable_audit()->add_entries();
      entry->set_number(number);
      entry->set_action("start");
    }
    response.mutable_audit()->set_more(more);
    return response;
  }
  /// Answers the next request, which asks for what is before this.
  void answer(const control::Response& response, std::uint64_t before, std::uint32_t limit) {
    const auto asked = next_request();
    EXPECT_EQ(asked.request.audit().before(), before);
    EXPECT_EQ(asked.request.audit().limit(), limit);
    asked.responder->finish(response);
  }
  static control::Response verified(const std::string& finding, const std::string& problem) {
    control::Response response;
    auto* report = response.mutable_audit_report();
    if (!finding.empty()) report->add_findings(finding);
    report->add_witnesses()->set_host("hostb");
    report->mutable_witnesses(0)->set_problem(problem);
    return response;
  }
};

TEST_F(AuditProgramTest, AsksForPageAfterPageAndPrintsTheOldestFirst) {
  start_daemon();
  const auto program = start_program({"audit", "--limit", "5", "-o", "ndjson"});
  answer(page(9, 7, true), 0, 5);
  answer(page(6, 5, true), 7, 2);
  const auto ended = program->wait();
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  std::size_t last = 0;
  for (const auto* number : {"5", "6", "7", "8", "9"}) {
    const auto at = ended.output.find(std::string("{\"number\":") + number + ",");
    ASSERT_NE(at, std::string::npos) << ended.output;
    EXPECT_GE(at, last);
    last = at;
  }
}

TEST_F(AuditProgramTest, AllOfItEndsWhenThereIsNoMore) {
  start_daemon();
  const auto program = start_program({"audit", "--limit", "0"});
  answer(page(4, 3, true), 0, 0);
  answer(page(2, 1, false), 3, 0);
  EXPECT_EQ(program->wait().exit_code, 0);
}

TEST_F(AuditProgramTest, ADaemonThatAlwaysHasMoreButNothingIsNotAskedForEver) {
  start_daemon();
  const auto program = start_program({"audit", "--limit", "0"});
  control::Response empty;
  empty.mutable_audit()->set_more(true);
  answer(empty, 0, 0);
  EXPECT_EQ(program->wait().exit_code, 0);
}

TEST_F(AuditProgramTest, PassesOnWhatIsWanted) {
  control::Request request;
  const auto ended = run_answered({"audit", "--vm", "web1", "--user", "alice", "--since", "1d"},
                                  page(1, 1, false), &request);
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_EQ(request.audit().vm(), "web1");
  EXPECT_EQ(request.audit().user(), "alice");
  EXPECT_GT(request.audit().since_unix_ms(), 1'700'000'000'000U);
  const auto wrong = run({"audit", "--since", "yesterday"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.errors, HasSubstr("'yesterday' is no moment"));
}

TEST_F(AuditProgramTest, VerifyExitsWithNothingWhereNothingWasFound) {
  control::Request request;
  EXPECT_EQ(run_answered({"audit", "verify"}, verified("", ""), &request).exit_code, 0);
  EXPECT_TRUE(request.has_audit_verify());
}

TEST_F(AuditProgramTest, VerifyExitsWithWhatWasFound) {
  const auto found = run_answered({"audit", "verify"}, verified("entry 3 is missing", "it does not answer"));
  EXPECT_EQ(found.exit_code, 4);
  EXPECT_THAT(found.output, HasSubstr("entry 3 is missing"));
}

TEST_F(AuditProgramTest, VerifyExitsOtherwiseWhereAHostCouldNotBeAsked) {
  EXPECT_EQ(run_answered({"audit", "verify"}, verified("", "it does not answer")).exit_code, 8);
}

}  // namespace
}  // namespace vmigrate::cli
