// Connections that are lost and come back: a session stalls, and loses nothing.
#include <atomic>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "relayed_session.hpp"

namespace vmigrate::peer {
namespace {

using testing::HasSubstr;
using Direction = Relay::Direction;

constexpr Milliseconds kLong{60'000};

class Resuming : public RelayedSession {
 protected:
  Resuming() {
    patience_ = {.opening = Milliseconds(2'000),
                 .redial = Milliseconds(2'000),
                 .sign_of_life = Milliseconds(50),
                 .silence = Milliseconds(500),
                 .farewell = Milliseconds(300)};
  }

  void begin(int connections, Milliseconds window = kLong) {
    bulk_connections_ = connections;
    join();
    here_->set_reconnect_window(window);
    there_->set_reconnect_window(window);
  }

  /// Moves so much over the RAM lane; `disturb` is called with what has arrived so far.
  void expect_moved(std::size_t size, const std::function<void(std::size_t arrived)>& disturb) {
    const auto bytes = patterned_bytes(size);
    std::thread writer([&] {
      std::mt19937 random(4);
      for (auto left = ByteView(bytes); !left.empty();) {
        const auto piece = left.first(std::min<std::size_t>(left.size(), 1 + random() % 200'000));
        const auto written = here_->bulk_sender().write(piece);
        EXPECT_TRUE(written) << written.error().message;
        if (!written) return;
        left = left.subspan(piece.size());
      }
      EXPECT_TRUE(here_->bulk_sender().finish());
    });
    ByteBuffer arrived;
    arrived.reserve(size);
    for (;;) {
      const auto piece = there_->bulk_receiver().read();
      EXPECT_TRUE(piece) << piece.error().message;
      if (!piece || piece->empty()) break;
      arrived.insert(arrived.end(), piece->begin(), piece->end());
      disturb(arrived.size());
    }
    if (arrived.size() != size) here_->close();
    writer.join();
    EXPECT_TRUE(arrived == bytes);
    expect_to_be_back();
    EXPECT_FALSE(heard_here_.has_ended() || heard_there_.has_ended());
  }

  /// Each side says that the link is back as often as it has said that it is lost, at least so often.
  void expect_to_be_back(int at_least = 0) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (const auto* stalls : {&stalls_here_, &stalls_there_}) {
      const auto is_back = [&] { return stalls->begun >= at_least && stalls->over == stalls->begun; };
      while (!is_back() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      EXPECT_TRUE(is_back()) << stalls->begun << " times lost, " << stalls->over << " times back";
    }
  }

  /// Calls `act` once, in the middle of a move.
  void expect_moved_though(const std::function<void()>& act) {
    bool done = false;
    expect_moved(12 * kMebibyte, [&](std::size_t arrived) {
      if (arrived > 4 * kMebibyte && !std::exchange(done, true)) act();
    });
    EXPECT_TRUE(done);
  }
};

TEST_F(Resuming, MessagesArriveOnceAndInOrderHoweverOftenTheLinkIsCut) {
  begin(2);
  constexpr std::uint32_t kMessages = 400;
  std::thread answering([this] {
    for (std::uint32_t i = 0; i < kMessages; ++i) there_->send(Lane::ram_return, patterned_bytes(2'000, i));
  });
  for (std::uint32_t i = 0; i < kMessages; ++i) here_->send(Lane::control, patterned_bytes(3'000, i));
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    if (i % 40 == 20) relay_->cut_all();
    ASSERT_EQ(heard_there_.next_message(), std::pair(Lane::control, patterned_bytes(3'000, i)));
    ASSERT_EQ(heard_here_.next_message(), std::pair(Lane::ram_return, patterned_bytes(2'000, i)));
  }
  answering.join();
  EXPECT_FALSE(heard_here_.has_ended() || heard_there_.has_ended());
}

TEST_F(Resuming, AMessageOfManyFramesIsPutTogetherOverCuts) {
  begin(2);
  here_->send(Lane::hypervisor_rpc, patterned_bytes(8 * kMebibyte));
  for (std::uint64_t mebibyte = 1; mebibyte <= 3; ++mebibyte) {
    relay_->await_passed(relay_->connections() - 1, Direction::to_target, kMebibyte);
    const auto before = relay_->connections();
    relay_->cut_all();
    while (relay_->connections() == before) std::this_thread::yield();
  }
  EXPECT_EQ(heard_there_.next_message().second, patterned_bytes(8 * kMebibyte));
}

TEST_F(Resuming, SaysThatItStallsAndThatItGoesOn) {
  begin(2);
  relay_->cut(0);
  here_->send(Lane::control, bytes_of("afterwards"));
  EXPECT_EQ(heard_there_.next_message().second, bytes_of("afterwards"));
  there_->send(Lane::control, bytes_of("and back"));
  EXPECT_EQ(heard_here_.next_message().second, bytes_of("and back"));
  EXPECT_EQ(stalls_here_.begun, 1);
  EXPECT_EQ(stalls_here_.over, 1);
  EXPECT_EQ(stalls_there_.begun, 1);
  EXPECT_EQ(stalls_there_.over, 1);
}

TEST_F(Resuming, IsBackWhileTheStreamStandsStill) {
  begin(2);
  ASSERT_TRUE(here_->bulk_sender().write(patterned_bytes(1'000)));
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->cut(0);
  expect_to_be_back(1);
}

class ResumingOver : public Resuming, public testing::WithParamInterface<std::size_t> {};

TEST_P(ResumingOver, EachConnection) {
  begin(3);
  expect_moved_though([this] { relay_->cut(GetParam()); });
  EXPECT_GE(relay_->connections(), 5U);
}
INSTANTIATE_TEST_SUITE_P(Connections, ResumingOver, testing::Values(0, 1, 2, 3));

TEST_F(Resuming, AllConnectionsAtOnce) {
  begin(3);
  expect_moved_though([this] { relay_->cut_all(); });
}

TEST_F(Resuming, ALinkThatPassesNothingForAWhile) {
  begin(2);
  std::thread healing;
  expect_moved_though([&] {
    relay_->stall();
    healing = std::thread([this] {
      while (stalls_here_.begun == 0) std::this_thread::yield();
      relay_->resume();
    });
  });
  healing.join();
}

class ResumingOneWay : public Resuming, public testing::WithParamInterface<Direction> {};

TEST_P(ResumingOneWay, IsNoticedThoughNothingIsSaid) {
  begin(2);
  std::thread healing;
  expect_moved_though([&] {
    relay_->stall(GetParam());
    healing = std::thread([this] {
      while (stalls_here_.begun == 0) std::this_thread::yield();
      relay_->resume();
    });
  });
  healing.join();
}
INSTANTIATE_TEST_SUITE_P(Directions, ResumingOneWay,
                         testing::Values(Direction::to_target, Direction::from_target));

TEST_F(Resuming, OneBulkConnectionThatIsDeadIsNoticedWhileItIsIdle) {
  begin(2);
  // Until either has carried some.
  const auto piece = ByteBuffer(kLongestBulkChunk);
  for (std::size_t connection = 1; connection <= 2; ++connection) {
    while (relay_->connections() <= connection ||
           relay_->passed(connection, Direction::to_target) < piece.size()) {
      ASSERT_TRUE(here_->bulk_sender().write(piece));
      ASSERT_TRUE(there_->bulk_receiver().read());
    }
  }
  relay_->stall(2);
  while (stalls_here_.begun == 0 || stalls_there_.begun == 0) std::this_thread::yield();
  expect_moved(4 * kMebibyte, [](std::size_t) {});
}

class ResumingCorrupted : public Resuming, public testing::WithParamInterface<std::size_t> {};

TEST_P(ResumingCorrupted, BytesAreNoticedAndSentAgain) {
  begin(2);
  expect_moved_though([this] { relay_->corrupt(GetParam(), Direction::to_target); });
  // What comes the other way are signs of life.
  relay_->corrupt(0, Direction::from_target);
  there_->send(Lane::control, bytes_of("message"));
  EXPECT_EQ(heard_here_.next_message().second, bytes_of("message"));
}
INSTANTIATE_TEST_SUITE_P(Connections, ResumingCorrupted, testing::Values(0, 1, 2));

TEST_F(Resuming, TwoHundredRandomCutsInOneMove) {
  begin(3);
  std::mt19937 random(2'026);
  int cuts = 0;
  std::size_t next = 0;
  expect_moved(80 * kMebibyte, [&](std::size_t arrived) {
    if (cuts == 200 || arrived < next) return;
    next = arrived + random() % (600 * kKibibyte);
    if (relay_->cut_one(static_cast<std::uint32_t>(random()))) ++cuts;
  });
  EXPECT_EQ(cuts, 200);
}

TEST_F(Resuming, WhatIsOnItsWayAfterTheEndIsSentAgain) {
  begin(2);
  const auto bytes = patterned_bytes(kMebibyte);
  ASSERT_TRUE(here_->bulk_sender().write(ByteView(bytes).first(1)));
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->stall(Direction::to_target);
  // Nobody waits for a word of the receiver: the pause would be longer by a round trip.
  ASSERT_TRUE(here_->bulk_sender().write(ByteView(bytes).subspan(1, 200'000)));
  ASSERT_TRUE(here_->bulk_sender().finish());
  relay_->cut_all();
  relay_->resume();
  std::size_t arrived = 1;
  for (auto piece = there_->bulk_receiver().read(); piece && !piece->empty();
       piece = there_->bulk_receiver().read())
    arrived += piece->size();
  EXPECT_EQ(arrived, 200'001U);
  EXPECT_TRUE(there_->bulk_receiver().read());
}

// --- For how long

TEST_F(Resuming, EndsWhenTheWindowHasPassed) {
  begin(2, Milliseconds(300));
  relay_->stall();
  const auto error = heard_here_.wait_for_end();
  EXPECT_EQ(error.code, ErrorCode::unreachable);
  EXPECT_THAT(error.message, HasSubstr("300 ms"));
  EXPECT_EQ(heard_there_.wait_for_end().code, ErrorCode::unreachable);
  EXPECT_EQ(stalls_here_.begun, 1);
  EXPECT_EQ(stalls_here_.over, 0);
}

TEST_F(Resuming, EndsBothEndsOfTheMemoryWhenTheWindowHasPassed) {
  begin(2, Milliseconds(300));
  auto writer = write_until_it_fails();
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->stall();
  while (there_->bulk_receiver().read()) {
  }
  writer.join();
}

TEST_F(Resuming, TheWindowCanBecomeShorterMeanwhile) {
  begin(2);
  relay_->stall();
  while (stalls_here_.begun == 0 || stalls_there_.begun == 0) std::this_thread::yield();
  here_->set_reconnect_window(Milliseconds(1));
  there_->set_reconnect_window(Milliseconds(1));
  heard_here_.wait_for_end();
  heard_there_.wait_for_end();
}

TEST_F(Resuming, EndsAtOnceWhenTheOtherEndKnowsNothingOfTheSessionAnyMore) {
  begin(2);
  relay_->stall();
  there_.reset();
  relay_->cut_all();
  relay_->resume();
  EXPECT_THAT(heard_here_.wait_for_end().message, HasSubstr("not known"));
}

TEST_F(Resuming, EndsAtOnceWhenTheOtherEndMeantIt) {
  begin(2);
  there_->close();
  heard_here_.wait_for_end();
  EXPECT_EQ(stalls_here_.begun, 0);
}

TEST_F(Resuming, LetsGoOfEverybodyWhenItIsClosedWhileItStalls) {
  begin(2);
  auto writer = write_until_it_fails();
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->stall();
  while (stalls_here_.begun == 0 || stalls_there_.begun == 0) std::this_thread::yield();
  std::thread reader([&] {
    while (there_->bulk_receiver().read()) {
    }
  });
  there_->close();
  reader.join();
  here_->close();
  writer.join();
  EXPECT_FALSE(heard_here_.has_ended() || heard_there_.has_ended());
}

TEST_F(Resuming, IsNotForSessionsThatDidNotAskForIt) {
  begin(2, Milliseconds(0));
  relay_->cut(0);
  heard_here_.wait_for_end();
  heard_there_.wait_for_end();
  EXPECT_EQ(stalls_here_.begun + stalls_there_.begun, 0);
}

// --- How much is kept for it

TEST_F(Resuming, ASenderWhoseOtherEndSaysNothingOfWhatItHasStops) {
  patience_.silence = Milliseconds(60'000);
  begin(1);
  // Signs of life are held back, too, so nothing is ever acknowledged.
  relay_->stall(Direction::from_target);
  std::atomic<std::size_t> read = 0;
  std::atomic<bool> over = false;
  std::thread writer([&] {
    const auto bytes = ByteBuffer(64 * kKibibyte);
    while (here_->bulk_sender().write(bytes)) {
    }
  });
  relay_->resume();
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->stall(Direction::from_target);
  std::thread reader([&] {
    for (auto piece = there_->bulk_receiver().read(); piece; piece = there_->bulk_receiver().read())
      read += piece->size();
    over = true;
  });
  while (read < kMostUnacknowledgedBulk / 2) std::this_thread::yield();
  for (std::size_t before = SIZE_MAX; before != read;) {
    before = read;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  // What was acknowledged before the direction was cut comes on top.
  EXPECT_LT(read, 3 * kMostUnacknowledgedBulk / 2);
  here_->close();
  there_->close();
  writer.join();
  reader.join();
}

}  // namespace
}  // namespace vmigrate::peer
