#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <sqlite3.h>

#include "trail_fixture.hpp"

namespace vmigrate::audit {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Keeps everybody else from writing, as a full disk does.
class Blocked {
 public:
  explicit Blocked(const std::string& path) {
    ::sqlite3_open(path.c_str(), &database_);
    // Its own writer may be at it just now.
    ::sqlite3_busy_timeout(database_, 30'000);
    EXPECT_EQ(::sqlite3_exec(database_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  }
  ~Blocked() { ::sqlite3_close(database_); }
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;

 private:
  sqlite3* database_ = nullptr;
};

TEST_F(TrailTest, WhatIsRecordedIsInTheFileWhenItReturns) {
  const auto trail = open();
  ASSERT_TRUE(trail->record(entry("start")));
  EXPECT_EQ(trail->head()->number, 1U);
  // Another life of the daemon, while this one is at the point of being killed.
  EXPECT_THAT(actions(*open()), ElementsAre("start"));
}

TEST_F(TrailTest, GoesOnBehindWhatIsThereAfterARestart) {
  make(3);
  ASSERT_TRUE(open()->record(entry("next")));
  EXPECT_THAT(actions(*open()), ElementsAre("e1", "e2", "e3", "next"));
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(TrailTest, WhatIsNotedIsSeenByWhoeverAsksAfterwards) {
  const auto trail = open();
  trail->note(entry("cancel"), Keep::some);
  ASSERT_TRUE(trail->record(entry("start")));
  trail->note(entry("resolve"), Keep::some);
  EXPECT_THAT(actions(*trail), ElementsAre("cancel", "start", "resolve"));
}

TEST_F(TrailTest, EntriesHaveTheTimeAtWhichTheyWereNoted) {
  const auto trail = open();
  trail->note(entry("first"), Keep::every);
  trail->note(entry("second"), Keep::every);
  const auto all = entries(*trail);
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].time, WallTime(std::chrono::milliseconds(1'764'000'000'001)));
  EXPECT_LT(all[0].time, all[1].time);
}

TEST_F(TrailTest, CountsAreWrittenAtTheEndAtTheLatest) {
  {
    const auto trail = open();
    for (int i = 0; i < 500; ++i) trail->note(entry("list"), Keep::first);
    EXPECT_THAT(actions(*trail), ElementsAre("list"));
  }
  const auto all = entries(*open());
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[1].count, 499U);
}

TEST_F(TrailTest, ListsTheNewestOfAVmAUserAndATime) {
  const auto trail = open();
  for (const auto* vm : {"web1", "web2", "web1"}) ASSERT_TRUE(trail->record(entry("start", vm)));
  ASSERT_TRUE(trail->record(entry("start", "web1", "bob (uid 1001)")));
  const auto numbers = [&](const Filter& filter, std::uint64_t before, std::size_t most) {
    std::vector<std::uint64_t> result;
    const auto list = trail->list(filter, before, most);
    EXPECT_TRUE(list);
    for (const auto& shown : *list) result.push_back(shown.entry.number);
    return result;
  };
  EXPECT_THAT(numbers({}, 0, 2), ElementsAre(4, 3));
  EXPECT_THAT(numbers({}, 3, 9), ElementsAre(2, 1));
  EXPECT_THAT(numbers({.vm = "web1"}, 0, 9), ElementsAre(4, 3, 1));
  EXPECT_THAT(numbers({.user = "alice"}, 0, 9), ElementsAre(3, 2, 1));
  EXPECT_THAT(numbers({.user = "1001"}, 0, 9), ElementsAre(4));
  EXPECT_THAT(numbers({.since = entries(*trail)[2].time}, 0, 9), ElementsAre(4, 3));
  EXPECT_THAT(numbers({.vm = "' OR ''='"}, 0, 9), IsEmpty());
}

TEST_F(TrailTest, RemembersTheHeadsOfAnotherHostAndOfNoOther) {
  const auto trail = open();
  const auto note = [&](const std::string& peer, std::uint64_t number) {
    auto noted = entry("head");
    noted.peer = peer;
    noted.head = Head{number, std::string(64, 'b')};
    ASSERT_TRUE(trail->record(noted));
  };
  note("hostb", 1);
  note("hostc", 7);
  note("hostb", 5);
  // What somebody calls a VM is not taken for one.
  ASSERT_TRUE(trail->record(entry("start", R"("action":"head")")));
  const auto heads = trail->heads_of("hostb");
  ASSERT_TRUE(heads);
  ASSERT_THAT(*heads, SizeIs(2));
  EXPECT_EQ((*heads)[0].number, 5U);
  EXPECT_EQ((*heads)[1].number, 1U);
}

TEST_F(TrailTest, ManyWritersMakeOneChain) {
  constexpr int writers = 8;
  constexpr int each = 40;
  {
    const auto trail = open();
    std::vector<std::jthread> threads;
    for (int writer = 0; writer < writers; ++writer) {
      threads.emplace_back([&trail, writer] {
        for (int i = 0; i < each; ++i) {
          const auto mine = entry(std::to_string(writer) + "." + std::to_string(i));
          if (i % 4 == 0) {
            EXPECT_TRUE(trail->record(mine));
          } else {
            trail->note(mine, Keep::every);
          }
          if (i % 10 == 0) {
            EXPECT_TRUE(trail->verify({}));
          }
        }
      });
    }
  }
  EXPECT_THAT(findings(), IsEmpty());
  std::vector<int> next(writers, 0);
  for (const auto& action : actions(*open())) {
    // Everybody's own are in their order.
    const auto dot = action.find('.');
    const auto writer = static_cast<std::size_t>(std::stoi(action.substr(0, dot)));
    EXPECT_EQ(std::stoi(action.substr(dot + 1)), next[writer]++);
  }
  EXPECT_THAT(next, testing::Each(each));
}

// --- When it cannot be written

TEST_F(TrailTest, WhatCannotBeRecordedIsAnErrorAndIsNotWrittenLater) {
  const auto trail = open();
  {
    const Blocked blocked(path_);
    const auto recorded = trail->record(entry("start"));
    ASSERT_FALSE(recorded);
    EXPECT_THAT(recorded.error().message, HasSubstr("cannot write the audit trail"));
    EXPECT_THAT(recorded.error().hint, HasSubstr("make room"));
    ASSERT_TRUE(trail->trouble());
  }
  ASSERT_TRUE(trail->record(entry("again")));
  EXPECT_FALSE(trail->trouble());
  EXPECT_THAT(actions(*trail), ElementsAre("again"));
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(TrailTest, WhatIsNotedMeanwhileIsWrittenWhenItCanBe) {
  const auto trail = open();
  {
    const Blocked blocked(path_);
    trail->note(entry("cancel"), Keep::some);
    EXPECT_FALSE(trail->record(entry("start")));
    trail->note(entry("resolve"), Keep::some);
  }
  EXPECT_THAT(actions(*trail), ElementsAre("cancel", "resolve"));
}

TEST_F(TrailTest, WhatIsLostIsCounted) {
  {
    const auto trail = open();
    {
      const Blocked blocked(path_);
      for (int i = 0; i < 1500; ++i) trail->note(entry("cancel"), Keep::every);
      EXPECT_FALSE(trail->record(entry("start")));
    }
    ASSERT_TRUE(trail->record(entry("start")));
  }
  const auto all = entries(*open());
  ASSERT_THAT(all, SizeIs(1002));
  EXPECT_EQ(all[1000].action, "gap");
  EXPECT_EQ(all[1000].count, 500U);
  EXPECT_EQ(all[1001].action, "start");
}

TEST_F(TrailTest, AFileThatIsNoneStopsNothingButNewMigrations) {
  std::ofstream(path_) << std::string(4096, 'x');
  const auto trail = open();
  ASSERT_TRUE(trail->trouble());
  EXPECT_THAT(trail->trouble()->message, HasSubstr(path_));
  trail->note(entry("cancel"), Keep::some);
  EXPECT_FALSE(trail->record(entry("start")));
  EXPECT_FALSE(trail->head());
  EXPECT_FALSE(trail->list({}, 0, 1));
  // Once it is out of the way, no restart is needed.
  std::filesystem::remove(path_);
  ASSERT_TRUE(trail->record(entry("start")));
  EXPECT_THAT(actions(*trail), ElementsAre("cancel", "start"));
}

// --- Age

TEST_F(TrailTest, TheOldestAreRemovedAndAnEntrySaysSo) {
  const auto trail = open(20);
  std::optional<Head> early;
  for (int i = 1; i <= 60; ++i) {
    ASSERT_TRUE(trail->record(entry("e" + std::to_string(i))));
    if (i == 10) early = trail->head();
  }
  const auto all = entries(*trail);
  EXPECT_LE(all.size(), 23U);
  EXPECT_GT(all.front().number, 30U);
  EXPECT_EQ(all.back().action, "e60");
  EXPECT_THAT(actions(*trail), Contains("trim"));
  const auto verified = trail->verify({{"hostb", *early}, {"hostc", *trail->head()}});
  ASSERT_TRUE(verified);
  EXPECT_THAT(verified->findings, IsEmpty());
  EXPECT_EQ(verified->too_old, 1U);
  EXPECT_EQ(verified->witnessed, 1U);
}

TEST_F(TrailTest, WhatIsRemovedBeyondThatIsFound) {
  {
    const auto trail = open(20);
    for (int i = 1; i <= 60; ++i) ASSERT_TRUE(trail->record(entry("e" + std::to_string(i))));
  }
  execute("DELETE FROM entries WHERE number = (SELECT min(number) FROM entries)");
  EXPECT_THAT(findings(), Contains(HasSubstr("no entry says that they were removed")));
}

}  // namespace
}  // namespace vmigrate::audit
