// What somebody with the right to write the file does to it, and what is said of that.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "trail_fixture.hpp"

namespace vmigrate::audit {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class TamperingTest : public TrailTest {
 protected:
  void SetUp() override { make(5); }
};

TEST_F(TamperingTest, NothingIsFoundWhereNothingWasDone) {
  EXPECT_THAT(findings({{"hostb", head()}}), IsEmpty());
}

TEST_F(TamperingTest, AChangeOfAnyFieldIsFound) {
  for (const auto* change :
       {R"(replace(entry, '"number":3', '"number":4'))",
        R"(replace(entry, '"time_unix_ms":1', '"time_unix_ms":2'))", R"(replace(entry, '"e3"', '"e4"'))",
        R"(replace(entry, '"done"', '"refused"'))", R"(replace(entry, 'alice', 'bob'))",
        R"(replace(entry, 'web1', 'web2'))", R"(entry || ' ')", R"('')", R"('{}')"}) {
    execute("CREATE TABLE kept AS SELECT * FROM entries");
    execute(fmt::format("UPDATE entries SET entry = {} WHERE number = 3", change));
    EXPECT_THAT(findings(), Contains(HasSubstr("entry 3 "))) << change;
    execute("DELETE FROM entries; INSERT INTO entries SELECT * FROM kept; DROP TABLE kept");
    ASSERT_THAT(findings(), IsEmpty());
  }
}

TEST_F(TamperingTest, AChangedHashIsFound) {
  execute("UPDATE entries SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE number = 3");
  EXPECT_THAT(findings(), Contains(HasSubstr("entry 3 is not what was written")));
}

TEST_F(TamperingTest, AnEntryThatIsRemovedIsFoundWhereverItStood) {
  execute("DELETE FROM entries WHERE number = 3");
  EXPECT_THAT(findings(), Contains("entry 3 is missing"));
  execute("DELETE FROM entries WHERE number < 3");
  EXPECT_THAT(findings(), Contains(HasSubstr("entries 1 to 3 are missing, and no entry says")));
}

TEST_F(TamperingTest, ClosingTheGapDoesNotHideIt) {
  execute("DELETE FROM entries WHERE number = 3; UPDATE entries SET number = number - 1 WHERE number > 3");
  EXPECT_THAT(findings(), Contains("entry 3 was written as entry 4"));
  EXPECT_THAT(findings(), Contains(HasSubstr("entry 3 is not what was written, or does not follow")));
}

TEST_F(TamperingTest, OtherOrdersAreFound) {
  execute(
      "UPDATE entries SET number = 100 WHERE number = 2; UPDATE entries SET number = 2 WHERE number = 3;"
      "UPDATE entries SET number = 3 WHERE number = 100");
  EXPECT_THAT(findings(), Contains("entry 2 was written as entry 3"));
}

TEST_F(TamperingTest, AnEntryThatIsPutInIsFound) {
  execute("INSERT INTO entries VALUES (6, '{\"number\":6,\"time_unix_ms\":1,\"action\":\"start\"}', '" +
          std::string(64, '0') + "')");
  EXPECT_THAT(findings(), Contains(HasSubstr("entry 6 is not what was written")));
}

TEST_F(TamperingTest, ATailThatIsRemovedIsFoundByTheHostsThatWereToldOfIt) {
  const auto told = head();
  execute("DELETE FROM entries WHERE number > 3");
  EXPECT_THAT(findings(), IsEmpty());  // nothing here remembers
  EXPECT_THAT(findings({{"hostb", told}}), ElementsAre("entry 5 is missing: hostb was told of it"));
  // Also when others have taken their places since.
  for (const auto* action : {"new4", "new5", "new6"}) ASSERT_TRUE(open()->record(entry(action)));
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_THAT(findings({{"hostb", told}}),
              ElementsAre(HasSubstr("entry 5 is another one than hostb was told of")));
}

TEST_F(TamperingTest, ATrailThatIsRemovedAltogetherIsFoundByThem) {
  const auto told = head();
  for (const auto* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + end);
  EXPECT_THAT(findings({{"hostb", told}}), ElementsAre("entry 5 is missing: hostb was told of it"));
}

TEST_F(TamperingTest, WhatIsDoneWhileTheDaemonRunsItKnowsByItself) {
  const auto trail = open();
  execute("DELETE FROM entries WHERE number > 3");
  const auto verified = trail->verify({});
  ASSERT_TRUE(verified);
  EXPECT_THAT(verified->findings, Contains(HasSubstr("entries 4 to 5 are missing at the end")));
  // And goes on as if it were there, so that it stays missing.
  ASSERT_TRUE(trail->record(entry("next")));
  EXPECT_THAT(findings(), Contains("entries 4 to 5 are missing"));
}

TEST_F(TamperingTest, ADamagedEntryIsShownAsOneAndHidesNoOthers) {
  execute("UPDATE entries SET entry = 'x' WHERE number = 3");
  EXPECT_THAT(actions(*open()), ElementsAre("e1", "e2", "damaged", "e4", "e5"));
}

TEST_F(TamperingTest, WhatHasGrownWithoutEndIsShownCut) {
  execute(
      "UPDATE entries SET entry = '{\"number\":3,\"time_unix_ms\":1,\"vm\":\"' || hex(zeroblob(2000000)) || "
      "'\"}', hash = hex(zeroblob(2000000)) WHERE number = 3");
  const auto trail = open();
  const auto list = trail->list({}, 4, 1);
  ASSERT_TRUE(list);
  EXPECT_LT(list->front().entry.vm.size(), 1100U);
  EXPECT_EQ(list->front().hash, "");
  EXPECT_THAT(trail->verify({})->findings, Not(IsEmpty()));
}

TEST_F(TamperingTest, ATrimThatNobodyWroteIsFound) {
  // As if entries 1 to 3 had been removed for their age: the entry that says so is not chained to the others.
  execute(
      "DELETE FROM entries WHERE number <= 3; INSERT INTO entries SELECT 6, "
      "'{\"number\":6,\"time_unix_ms\":1,"
      "\"action\":\"trim\",\"head\":{\"number\":3,\"hash\":\"' || hash || '\"}}', hash FROM entries WHERE "
      "number = 4");
  EXPECT_THAT(findings(), Not(IsEmpty()));
}

}  // namespace
}  // namespace vmigrate::audit
