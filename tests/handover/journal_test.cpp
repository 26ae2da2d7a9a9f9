#include "handover/journal.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handover/runtime_directory.hpp"
#include "handover/veto.hpp"

namespace vmigrate::handover {
namespace {

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vmigrate-journal-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~JournalTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Journal> open() {
    auto journal = open_journal(folder_ + "/journal.db");
    EXPECT_TRUE(journal) << journal.error().message;
    return std::move(*journal);
  }

  static Record sample(std::string_view state, Role role = Role::source) {
    Record record;
    record.migration = MigrationId::random();
    record.role = role;
    record.vm = *VmId::parse("123e4567-e89b-12d3-a456-426614174000");
    record.vm_name = "web1";
    record.epoch = 7;
    record.peer = "hostb";
    record.state = state;
    record.runs = false;
    record.keeps_definition = true;
    record.result = std::string("a\0b", 3);
    record.vmm = "a-vmm";
    return record;
  }

  std::string folder_;
};

TEST_F(JournalTest, KeepsWhatWasPromisedAcrossAReopen) {
  Record record = sample("preparing");
  ASSERT_TRUE(open()->write(record));
  record.state = "relinquished";
  ASSERT_TRUE(open()->write(record));
  auto journal = open();
  EXPECT_EQ(journal->find(record.migration, Role::source)->value(), record);
  EXPECT_EQ(*journal->find(record.migration, Role::destination), std::nullopt);
  EXPECT_EQ(*journal->last_epoch(record.vm), 7U);
  EXPECT_EQ(journal->of_vm(record.vm)->front(), record);
  EXPECT_EQ(*journal->last_epoch(*VmId::parse("00000000-e89b-12d3-a456-426614174000")), 0U);
}

TEST_F(JournalTest, ForgetsWhatBothHostsHaveBroughtToItsEndWithTheNextMigration) {
  auto journal = open();
  std::vector<Record> over;
  std::vector<Record> asked_about;
  const auto write = [&](std::vector<Record>& list, std::string_view state, Role role) {
    list.push_back(sample(state, role));
    ASSERT_TRUE(journal->write(list.back()));
  };
  for (const char* state : {"confirmed", "reclaimed"}) write(over, state, Role::source);
  write(over, "done", Role::destination);
  // The other host may not know yet.
  for (const char* state : {"running", "refused", "started", "in doubt", "refusing"})
    write(asked_about, state, Role::destination);
  write(asked_about, "relinquished", Role::source);
  auto other = sample("confirmed");
  other.vm = *VmId::parse("00000000-e89b-12d3-a456-426614174000");
  asked_about.push_back(other);
  ASSERT_TRUE(journal->write(other));

  // What comes may be refused.
  auto next = sample("reserved", Role::destination);
  next.epoch = 8;
  ASSERT_TRUE(journal->write(next));
  for (const auto& record : over)
    EXPECT_EQ(**journal->find(record.migration, record.role), record) << record.state;

  next = sample("preparing");
  next.epoch = 8;
  ASSERT_TRUE(journal->write(next));
  for (const auto& record : over)
    EXPECT_EQ(*journal->find(record.migration, record.role), std::nullopt) << record.state;
  for (const auto& record : asked_about)
    EXPECT_EQ(**journal->find(record.migration, record.role), record) << record.state;
  EXPECT_EQ(*journal->last_epoch(next.vm), 8U);
  // Its own end stays: it is what the next epoch counts from, and what vetoes a start.
  next.state = "confirmed";
  ASSERT_TRUE(journal->write(next));
  EXPECT_EQ(journal->of_vm(next.vm)->front(), next);
}

TEST_F(JournalTest, AReturnThatWasRefusedChangesNothingAboutWhoseTheVmIs) {
  auto journal = open();
  const auto handed_over = sample("confirmed");
  ASSERT_TRUE(journal->write(handed_over));
  auto back = sample("reserved", Role::destination);
  back.epoch = 8;
  for (const char* state : {"reserved", "refused"}) {
    back.state = state;
    ASSERT_TRUE(journal->write(back));
  }
  EXPECT_EQ(journal->of_vm(back.vm)->front(), back);
  EXPECT_EQ(**record_in_force(*journal, back.vm, folder_), handed_over);
  EXPECT_TRUE(veto_of_start(*journal, back.vm, folder_));

  back.state = "running";
  ASSERT_TRUE(journal->write(back));
  EXPECT_FALSE(veto_of_start(*journal, back.vm, folder_));
}

TEST_F(JournalTest, AReturnIsStartedByItsMigrationAndByNobodyOnceTheHostHasLostPower) {
  auto journal = open();
  ASSERT_TRUE(journal->write(sample("confirmed")));
  auto back = sample("reserved", Role::destination);
  back.epoch = 8;
  ASSERT_TRUE(journal->write(back));
  {
    const auto sockets = RuntimeDirectory::create(runtime_directory_of(folder_, back.migration));
    ASSERT_TRUE(sockets);
    EXPECT_FALSE(veto_of_start(*journal, back.vm, folder_));
  }
  EXPECT_TRUE(veto_of_start(*journal, back.vm, folder_));
}

TEST_F(JournalTest, AnOlderOneIsGoneOnWith) {
  sqlite3* database = nullptr;
  ASSERT_EQ(::sqlite3_open((folder_ + "/journal.db").c_str(), &database), SQLITE_OK);
  // As it was before it said whose a VM is.
  const auto made = ::sqlite3_exec(
      database,
      "CREATE TABLE promises (migration TEXT NOT NULL, role INTEGER NOT NULL, vm TEXT NOT NULL,"
      " vm_name TEXT NOT NULL, epoch INTEGER NOT NULL, peer TEXT NOT NULL, state TEXT NOT NULL,"
      " runs INTEGER NOT NULL, keeps_definition INTEGER NOT NULL, result BLOB NOT NULL,"
      " PRIMARY KEY (migration, role)) STRICT;"
      "INSERT INTO promises VALUES ('123e4567-e89b-12d3-a456-426614174001', 1,"
      " '123e4567-e89b-12d3-a456-426614174000', 'web1', 3, 'hostb', 'relinquished', 1, 0, x'')",
      nullptr, nullptr, nullptr);
  ::sqlite3_close(database);
  ASSERT_EQ(made, SQLITE_OK);
  const auto unfinished = open()->unfinished();
  ASSERT_TRUE(unfinished) << unfinished.error().message;
  ASSERT_EQ(unfinished->size(), 1U);
  EXPECT_EQ(unfinished->front().vmm, "");
  const auto record = sample("preparing");
  ASSERT_TRUE(open()->write(record));
  EXPECT_EQ(open()->find(record.migration, Role::source)->value(), record);
}

TEST_F(JournalTest, ListsWhatIsLeftToDo) {
  auto journal = open();
  for (const char* state : {"preparing", "relinquished", "confirmed", "reclaiming", "reclaimed"}) {
    ASSERT_TRUE(journal->write(sample(state)));
  }
  for (const char* state : {"reserved", "started", "running", "done", "refusing", "refused", "in doubt"}) {
    ASSERT_TRUE(journal->write(sample(state, Role::destination)));
  }
  std::vector<std::string> left;
  const auto unfinished = journal->unfinished();
  ASSERT_TRUE(unfinished);
  for (const auto& record : *unfinished) left.push_back(record.state);
  EXPECT_EQ(left, (std::vector<std::string>{"preparing", "relinquished", "reclaiming", "reserved", "started",
                                            "refusing", "in doubt"}));
}

TEST_F(JournalTest, EveryRecordedStateIsReadBackAsItself) {
  for (const char* state : {"preparing", "relinquished", "confirmed", "reclaiming", "reclaimed"}) {
    EXPECT_EQ(name(*source_state(sample(state))), state);
  }
  for (const char* state : {"reserved", "started", "running", "done", "refusing", "refused", "in doubt"}) {
    EXPECT_EQ(name(*destination_state(sample(state))), state);
  }
  EXPECT_EQ(source_state(sample("teleported")).error().code, ErrorCode::needs_attention);
  EXPECT_EQ(outcome_of(sample("teleported", Role::destination)), Outcome::in_doubt);
}

TEST_F(JournalTest, SyncsEveryWrite) {
  // The promise is only as good as these two settings; they are read back from the file's own connection.
  ASSERT_TRUE(open()->write(sample("relinquished")));
  std::ifstream file(folder_ + "/journal.db", std::ios::binary);
  std::string header(20, '\0');
  file.read(header.data(), 20);
  EXPECT_EQ(header[18], 2);  // the file format's write version: 2 is WAL
}

TEST_F(JournalTest, SaysWhereItCannotBeOpened) {
  const auto journal = open_journal(folder_ + "/missing/journal.db");
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().message.find(folder_ + "/missing/journal.db"), std::string::npos);
}

TEST_F(JournalTest, AFullDiskIsAnErrorAndTheOldPromiseStands) {
  if (::mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "needs to be root to mount a small file system";
  }
  auto journal = open();
  Record record = sample("preparing");
  EXPECT_TRUE(journal->write(record));
  {
    std::ofstream filler(folder_ + "/filler");
    const std::string block(4096, 'x');
    while (filler << block << std::flush) {
    }
  }
  record.state = "relinquished";
  Result<> written;
  // SQLite may still have room inside the file's last page.
  for (int i = 0; i < 64 && written; ++i) written = journal->write(record);
  EXPECT_FALSE(written);
  std::filesystem::remove(folder_ + "/filler");
  record.state = "reclaimed";
  EXPECT_TRUE(journal->write(record));
  journal.reset();
  ::umount(folder_.c_str());
}

}  // namespace
}  // namespace vmigrate::handover
