#include "daemon/history.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "folder.hpp"

namespace vmigrate::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class HistoryTest : public testing::Test {
 protected:
  std::unique_ptr<History> open() const {
    auto history = open_history(path_);
    EXPECT_TRUE(history) << history.error().message;
    return std::move(*history);
  }

  static control::Migration migration(const std::string& id, const std::string& vm = "web1",
                                      control::Role role = control::SOURCE) {
    control::Migration result;
    result.set_id(id);
    result.set_vm(vm);
    result.set_vm_id("uuid of " + vm);
    result.set_role(role);
    result.set_phase(control::COMPLETED);
    result.mutable_receipt()->set_pause_ms(41);
    return result;
  }

  static std::vector<std::string> ids(History& history, std::uint32_t limit = 0, const std::string& vm = {}) {
    std::vector<std::string> result;
    const auto list = history.list(limit, vm);
    EXPECT_TRUE(list) << list.error().message;
    for (const auto& entry : list.value_or(std::vector<control::Migration>())) result.push_back(entry.id());
    return result;
  }

  /// By another program, while it is not or also open here.
  void execute(const std::string& sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(::sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(::sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << ::sqlite3_errmsg(database);
    ::sqlite3_close(database);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("history.db");
};

TEST_F(HistoryTest, FindsTheNewestThatIsMeant) {
  const auto history = open();
  for (const auto& entry : {migration("aaaaaa01"), migration("aaaaaa02"), migration("bbbbbb03", "db"),
                            migration("cccccc04", "aaaaaa")}) {
    ASSERT_TRUE(history->add(entry));
  }
  const auto found = [&](const std::string& what) {
    const auto result = history->find(what);
    EXPECT_TRUE(result) << result.error().message;
    return result && *result ? (*result)->id() : "";
  };
  EXPECT_EQ(found("web1"), "aaaaaa02");
  EXPECT_EQ(found("uuid of web1"), "aaaaaa02");
  EXPECT_EQ(found("aaaaaa01"), "aaaaaa01");
  EXPECT_EQ(found("aaaaaa0"), "aaaaaa02");
  EXPECT_EQ(found("aaaaaa"), "cccccc04");  // by the VM's name
  EXPECT_EQ(found("bbbbb"), "");           // too short for an id
  EXPECT_EQ(found("bbbbbb"), "bbbbbb03");
  EXPECT_EQ(found("%"), "");
  EXPECT_EQ(found(""), "");
}

TEST_F(HistoryTest, SurvivesARestartWithEverythingInIt) {
  ASSERT_TRUE(open()->add(migration("m1")));
  const auto list = open()->list(10, "");
  ASSERT_TRUE(list);
  ASSERT_THAT(*list, SizeIs(1));
  EXPECT_EQ(list->front().SerializeAsString(), migration("m1").SerializeAsString());
}

TEST_F(HistoryTest, GoesOnBehindWhatIsThereAfterARestart) {
  ASSERT_TRUE(open()->add(migration("old")));
  const auto history = open();
  ASSERT_TRUE(history->add(migration("new")));
  EXPECT_THAT(ids(*history), ElementsAre("new", "old"));
}

TEST_F(HistoryTest, ListsTheNewestFirstAndNoMoreThanAskedFor) {
  const auto history = open();
  for (const auto* id : {"m1", "m2", "m3"}) ASSERT_TRUE(history->add(migration(id)));
  EXPECT_THAT(ids(*history, 2), ElementsAre("m3", "m2"));
  EXPECT_THAT(ids(*history, 0), ElementsAre("m3", "m2", "m1"));
  EXPECT_THAT(ids(*history, 4'000'000'000), SizeIs(3));
}

TEST_F(HistoryTest, ListsOneVmByNameOrUuidAndTakesWhatIsAskedForLiterally) {
  const auto history = open();
  ASSERT_TRUE(history->add(migration("m1", "web1")));
  ASSERT_TRUE(history->add(migration("m2", "db")));
  ASSERT_TRUE(history->add(migration("m3", "web1")));
  EXPECT_THAT(ids(*history, 0, "web1"), ElementsAre("m3", "m1"));
  EXPECT_THAT(ids(*history, 1, "web1"), ElementsAre("m3"));
  EXPECT_THAT(ids(*history, 0, "uuid of db"), ElementsAre("m2"));
  EXPECT_THAT(ids(*history, 0, "web"), IsEmpty());
  EXPECT_THAT(ids(*history, 0, "%"), IsEmpty());
  EXPECT_THAT(ids(*history, 0, "' OR ''='"), IsEmpty());
}

TEST_F(HistoryTest, HasBothEndsOfAMigrationButEachOnce) {
  const auto history = open();
  ASSERT_TRUE(history->add(migration("m1", "web1", control::SOURCE)));
  ASSERT_TRUE(history->add(migration("m1", "web1", control::DESTINATION)));
  auto again = migration("m1", "web1", control::SOURCE);
  again.set_phase(control::FAILED);
  ASSERT_TRUE(history->add(again));
  const auto list = history->list(0, "");
  ASSERT_TRUE(list);
  ASSERT_THAT(*list, SizeIs(2));
  EXPECT_EQ((*list)[0].role(), control::SOURCE);
  EXPECT_EQ((*list)[0].phase(), control::FAILED);
  EXPECT_EQ((*list)[1].role(), control::DESTINATION);
}

TEST_F(HistoryTest, ForgetsTheOldestSoThatItDoesNotFillTheDisk) {
  ASSERT_TRUE(open()->add(migration("oldest")));
  ASSERT_TRUE(open()->add(migration("second")));
  execute("UPDATE sqlite_sequence SET seq = 10000");
  const auto history = open();
  ASSERT_TRUE(history->add(migration("newest")));
  EXPECT_THAT(ids(*history), ElementsAre("newest", "second"));
}

TEST_F(HistoryTest, AFileThatIsNoDatabaseIsReportedWithWhatToDo) {
  std::ofstream(path_) << std::string(4096, 'x');
  const auto history = open_history(path_);
  ASSERT_FALSE(history);
  EXPECT_THAT(history.error().message, HasSubstr(path_));
  EXPECT_THAT(history.error().message, HasSubstr("not a database"));
  EXPECT_THAT(history.error().hint, HasSubstr("move it away"));
}

TEST_F(HistoryTest, APlaceWhereNoFileCanBeIsReported) {
  const auto history = open_history(folder_.file("missing/history.db"));
  ASSERT_FALSE(history);
  EXPECT_THAT(history.error().message, HasSubstr("missing/history.db: cannot open the history"));
}

TEST_F(HistoryTest, ADamagedFileIsReportedInsteadOfLookingEmpty) {
  {
    const auto history = open();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(history->add(migration("m" + std::to_string(i))));
  }
  execute("PRAGMA wal_checkpoint(TRUNCATE)");
  {
    // Everything behind the schema.
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<std::streamoff>(std::filesystem::file_size(path_));
    ASSERT_GT(size, 4 * 4096);
    file.seekp(4096);
    file << std::string(static_cast<std::size_t>(size) - 4096, '\x5a');
  }
  const auto history = open_history(path_);
  const auto list =
      history ? (*history)->list(0, "") : Result<std::vector<control::Migration>>(fail(history.error()));
  ASSERT_FALSE(list);
  EXPECT_THAT(list.error().message, HasSubstr("malformed"));
}

TEST_F(HistoryTest, AnEntryThatCannotBeReadDoesNotHideTheOthers) {
  const auto history = open();
  for (const auto* id : {"m1", "m2", "m3"}) ASSERT_TRUE(history->add(migration(id)));
  execute("UPDATE migrations SET migration = x'ffffffff' WHERE id = 'm2'");
  EXPECT_THAT(ids(*history), ElementsAre("m3", "m1"));
}

TEST_F(HistoryTest, WhatCannotBeWrittenIsReported) {
  const auto history = open();
  execute("DROP TABLE migrations");
  const auto added = history->add(migration("m1"));
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().message, HasSubstr("cannot write the history: no such table"));
  EXPECT_THAT(history->list(0, "").error().message, HasSubstr("cannot read the history"));
}

TEST_F(HistoryTest, ALookFromOutsideCostsNoEntry) {
  const auto history = open();
  ASSERT_TRUE(history->add(migration("m1")));
  sqlite3* visitor = nullptr;
  ASSERT_EQ(::sqlite3_open(path_.c_str(), &visitor), SQLITE_OK);
  ASSERT_EQ(::sqlite3_exec(visitor, "BEGIN; SELECT * FROM migrations", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_TRUE(history->add(migration("m2")));
  ::sqlite3_close(visitor);
  EXPECT_THAT(ids(*history), ElementsAre("m2", "m1"));
}

}  // namespace
}  // namespace vmigrate::daemon
