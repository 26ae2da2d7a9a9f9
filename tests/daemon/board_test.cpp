#include "daemon/board.hpp"

#include <barrier>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "folder.hpp"
#include "reports.hpp"

namespace vmigrate::daemon {
namespace {

using migration::Phase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class BoardTest : public testing::Test {
 protected:
  /// Writes down the phases that a watcher is told.
  static Board::Watcher write_to(std::vector<control::Phase>* phases) {
    return [phases](const control::Migration& migration) { phases->push_back(migration.phase()); };
  }
  static migration::Report arriving(migration::Report report) {
    report.role = handover::Role::destination;
    return report;
  }

  const TemporaryFolder folder_;
  const std::unique_ptr<History> history_ = *open_history(folder_.file("history.db"));
  Board board_{*history_};
  const MigrationId id_ = *MigrationId::parse("aabbccdd-0000-4000-8000-000000000001");
};

TEST_F(BoardTest, ShowsTheLatestReportOfWhatIsUnderWay) {
  board_.publish(report_of("web1", Phase::check, id_));
  board_.publish(report_of("web1", Phase::memory, id_));
  ASSERT_THAT(board_.active(), SizeIs(1));
  EXPECT_EQ(board_.active()[0].phase(), control::MEMORY);
}

TEST_F(BoardTest, WhatHasEndedIsInTheHistoryAndNotUnderWay) {
  for (const auto phase : {Phase::completed, Phase::failed, Phase::cancelled}) {
    const auto id = MigrationId::random();
    board_.publish(report_of("web1", Phase::memory, id));
    board_.publish(report_of("web1", phase, id));
    EXPECT_THAT(board_.active(), IsEmpty());
    EXPECT_EQ(history_->list(1, "")->front().id(), id.text());
  }
}

TEST_F(BoardTest, AMigrationInDoubtStaysUnderWay) {
  board_.publish(report_of("web1", Phase::needs_attention, id_));
  EXPECT_THAT(board_.active(), SizeIs(1));
  EXPECT_THAT(*history_->list(0, ""), IsEmpty());
}

TEST_F(BoardTest, AnArrivalInDoubtIsThePastOnceItsVmIsMovedAgain) {
  const auto doubted = arriving(report_of("web1", Phase::needs_attention, id_));
  board_.publish(doubted);
  auto other = report_of("web2", Phase::memory, MigrationId::random());
  other.vm = VmId::random();
  board_.publish(other);
  EXPECT_THAT(board_.active(), SizeIs(2));
  auto again = arriving(report_of("web1", Phase::memory, MigrationId::random()));
  again.vm = doubted.vm;
  board_.publish(again);
  EXPECT_THAT(board_.active(), SizeIs(2));
  EXPECT_EQ(board_.find("web1")->id(), again.id.text());
  ASSERT_THAT(*history_->list(0, ""), SizeIs(1));
  EXPECT_EQ(history_->list(0, "")->front().id(), id_.text());
}

TEST_F(BoardTest, BothEndsOfAMigrationWithinOneHostAreKeptApart) {
  board_.publish(report_of("web1", Phase::memory, id_));
  board_.publish(arriving(report_of("web1", Phase::prepare, id_)));
  EXPECT_THAT(board_.active(), SizeIs(2));
  board_.publish(arriving(report_of("web1", Phase::failed, id_)));
  ASSERT_THAT(board_.active(), SizeIs(1));
  EXPECT_EQ(board_.active()[0].role(), control::SOURCE);
}

TEST_F(BoardTest, FindsByNameUuidIdAndTheStartOfAnId) {
  board_.publish(report_of("web1", Phase::memory, id_));
  for (const auto* words : {"web1", "123e4567-e89b-12d3-a456-426614174000", "aabbcc", "aabbccdd",
                            "aabbccdd-0000-4000-8000-000000000001"}) {
    const auto found = board_.find(words);
    ASSERT_TRUE(found) << words;
    EXPECT_EQ(found->id(), id_.text());
  }
}

TEST_F(BoardTest, FindsNothingByAnEmptyWordOrAStartThatCouldBeAVmsName) {
  board_.publish(report_of("web1", Phase::memory, id_));
  board_.publish(report_of("db", Phase::failed));
  for (const auto* words : {"", "a", "aabbc", "web", "WEB1"}) {
    const auto found = board_.find(words);
    ASSERT_FALSE(found) << words;
    EXPECT_EQ(found.error().code, ErrorCode::not_found);
    EXPECT_THAT(found.error().hint, HasSubstr("vmigrate list"));
  }
}

TEST_F(BoardTest, PrefersWhatIsUnderWayToThePastAndTheNewestOfThePast) {
  board_.publish(report_of("web1", Phase::failed));
  const auto newest = MigrationId::random();
  board_.publish(report_of("web1", Phase::completed, newest));
  EXPECT_EQ(board_.find("web1")->id(), newest.text());
  board_.publish(report_of("web1", Phase::check, id_));
  EXPECT_EQ(board_.find("web1")->id(), id_.text());
}

TEST_F(BoardTest, EachWatcherIsToldEveryReportToTheEnd) {
  board_.publish(report_of("web1", Phase::check, id_));
  std::vector<control::Phase> first;
  std::vector<control::Phase> second;
  const auto now = board_.watch(id_.text(), board_.new_watch(), write_to(&first));
  ASSERT_TRUE(now);
  EXPECT_EQ(now->phase(), control::CHECK);
  board_.publish(report_of("web1", Phase::memory, id_));
  ASSERT_TRUE(board_.watch(id_.text(), board_.new_watch(), write_to(&second)));
  board_.publish(report_of("web1", Phase::completed, id_));
  EXPECT_THAT(first, ElementsAre(control::MEMORY, control::COMPLETED));
  EXPECT_THAT(second, ElementsAre(control::COMPLETED));
}

TEST_F(BoardTest, AWatcherOfAnotherMigrationOrAnArrivalIsNotTold) {
  board_.publish(report_of("web1", Phase::check, id_));
  std::vector<control::Phase> told;
  ASSERT_TRUE(board_.watch(id_.text(), board_.new_watch(), write_to(&told)));
  board_.publish(report_of("db", Phase::memory));
  board_.publish(arriving(report_of("web1", Phase::failed, id_)));
  EXPECT_THAT(told, IsEmpty());
}

TEST_F(BoardTest, WhoComesAfterTheEndIsNotLeftWaiting) {
  std::vector<control::Phase> told;
  EXPECT_FALSE(board_.watch(id_.text(), board_.new_watch(), write_to(&told)));
  board_.publish(report_of("web1", Phase::completed, id_));
  EXPECT_FALSE(board_.watch(id_.text(), board_.new_watch(), write_to(&told)));
  EXPECT_EQ(board_.find(id_.text())->phase(), control::COMPLETED);
  EXPECT_THAT(told, IsEmpty());
}

TEST_F(BoardTest, WhoHasLeftIsNotTold) {
  board_.publish(report_of("web1", Phase::check, id_));
  std::vector<control::Phase> told;
  const auto number = board_.new_watch();
  ASSERT_TRUE(board_.watch(id_.text(), number, write_to(&told)));
  board_.unwatch(number);
  board_.unwatch(number);
  board_.publish(report_of("web1", Phase::completed, id_));
  EXPECT_THAT(told, IsEmpty());
}

TEST_F(BoardTest, TheEndIsToldAlsoWhenTheHistoryCannotBeWritten) {
  class FullDisk : public History {
   public:
    Result<> add(const control::Migration&) override { return fail(ErrorCode::failed, "disk full"); }
    Result<std::vector<control::Migration>> list(std::uint32_t, const std::string&) override {
      return fail(ErrorCode::failed, "cannot list");
    }
    Result<std::optional<control::Migration>> find(const std::string&) override {
      return fail(ErrorCode::failed, "cannot read");
    }
  };
  FullDisk full;
  Board board(full);
  board.publish(report_of("web1", Phase::check, id_));
  std::vector<control::Phase> told;
  ASSERT_TRUE(board.watch(id_.text(), board.new_watch(), write_to(&told)));
  board.publish(report_of("web1", Phase::completed, id_));
  EXPECT_THAT(told, ElementsAre(control::COMPLETED));
  EXPECT_EQ(board.find("web1").error().message, "cannot read");
}

TEST_F(BoardTest, WatchersComeAndGoWhileReportsArrive) {
  // Whoever gets in sees the end, whenever it came; ThreadSanitizer sees the rest.
  constexpr int kWatchers = 4;
  board_.publish(report_of("web1", Phase::check, id_));
  std::barrier together(kWatchers + 1);
  std::vector<int> ends(kWatchers, 0);
  {
    std::vector<std::jthread> threads;
    threads.reserve(kWatchers);
    for (int watcher = 0; watcher < kWatchers; ++watcher) {
      threads.emplace_back([&, watcher] {
        auto& seen = ends.at(static_cast<std::size_t>(watcher));
        together.arrive_and_wait();
        const bool watching = board_
                                  .watch(id_.text(), board_.new_watch(),
                                         [&seen](const control::Migration& migration) {
                                           if (migration.phase() == control::COMPLETED) ++seen;
                                         })
                                  .has_value();
        if (!watching && board_.find(id_.text())->phase() == control::COMPLETED) ++seen;
      });
    }
    together.arrive_and_wait();
    for (int i = 0; i < 100; ++i) board_.publish(report_of("web1", Phase::memory, id_));
    board_.publish(report_of("web1", Phase::completed, id_));
  }
  EXPECT_THAT(ends, testing::Each(1));
}

}  // namespace
}  // namespace vmigrate::daemon
