// The message lanes, over real TCP and through a relay that breaks the network.
#include <gmock/gmock.h>

#include "relayed_session.hpp"

namespace vmigrate::peer {
namespace {

using testing::HasSubstr;
using Direction = Relay::Direction;

class Lanes : public RelayedSession {};

TEST_F(Lanes, KeepTheOrderOfEachAndReturnWhatWasSent) {
  join();
  const std::vector<std::size_t> sizes{0, 1, 65'535, 65'536, 65'537, kMebibyte};
  for (const auto size : sizes) here_->send(Lane::hypervisor_rpc, patterned_bytes(size));
  for (const auto size : sizes) {
    const auto [lane, message] = heard_there_.next_message();
    EXPECT_EQ(lane, Lane::hypervisor_rpc);
    EXPECT_EQ(message, patterned_bytes(size));
  }
  there_->send(Lane::ram_return, bytes_of("back"));
  EXPECT_EQ(heard_here_.next_message(), std::pair(Lane::ram_return, bytes_of("back")));
}

TEST_F(Lanes, TakeTheLongestMessageOfEach) {
  join();
  for (const auto lane : {Lane::control, Lane::hypervisor_rpc, Lane::ram_return}) {
    here_->send(lane, ByteBuffer(longest_message(lane)));
    EXPECT_EQ(heard_there_.next_message().second.size(), longest_message(lane));
  }
}

TEST_F(Lanes, LetControlOvertakeALongMessage) {
  join();
  relay_->stall(Direction::to_target);
  here_->send(Lane::hypervisor_rpc, ByteBuffer(longest_message(Lane::hypervisor_rpc)));
  here_->send(Lane::ram_return, bytes_of("third"));
  here_->send(Lane::control, bytes_of("first"));
  relay_->resume();
  EXPECT_EQ(heard_there_.next_message().first, Lane::control);
  EXPECT_EQ(heard_there_.next_message().first, Lane::hypervisor_rpc);
  EXPECT_EQ(heard_there_.next_message().first, Lane::ram_return);
}

TEST_F(Lanes, KeepWhatComesBeforeTheStart) {
  listen();
  auto here = dial();
  ASSERT_TRUE(here);
  Recorder ignored;
  (*here)->start(ignored.events());
  (*here)->send(Lane::control, bytes_of("early"));
  const auto there = accepted();
  Recorder heard;
  there->start(heard.events());
  EXPECT_EQ(heard.next_message().second, bytes_of("early"));
}

TEST_F(Lanes, DeliverWhatWasSentBeforeTheClose) {
  join();
  for (int i = 0; i < 20; ++i) here_->send(Lane::control, patterned_bytes(100'000, 7));
  here_.reset();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(heard_there_.next_message().second, patterned_bytes(100'000, 7));
  EXPECT_THAT(heard_there_.wait_for_end().message, HasSubstr("hosta"));
}

// The other end's signs of life arrive while the last message is still on its way.
TEST_F(Lanes, DeliverWhatWasSentBeforeTheCloseThoughTheOtherEndGoesOnTalking) {
  patience_.silence = Milliseconds(30'000);
  patience_.farewell = Milliseconds(30'000);
  join();
  relay_->stall(Direction::to_target);
  // More than the relay takes, less than the kernel does: all is said, and most of it is still to be
  // delivered.
  here_->send(Lane::control, patterned_bytes(200'000));
  here_->close();
  // Three signs of life at least, each a TLS record of 30 bytes.
  relay_->await_passed(0, Direction::from_target, relay_->passed(0, Direction::from_target) + 90);
  relay_->resume();
  EXPECT_EQ(heard_there_.next_message().second, patterned_bytes(200'000));
}

TEST_F(Lanes, SayNothingAfterTheCloseFromThisSide) {
  join();
  here_->close();
  here_->send(Lane::control, bytes_of("too late"));
  heard_there_.wait_for_end();
  here_.reset();
  EXPECT_FALSE(heard_here_.has_ended());
}

TEST_F(Lanes, CanBeClosedByWhoHearsTheMessage) {
  listen();
  auto here = dial();
  ASSERT_TRUE(here);
  const auto there = accepted();
  Recorder heard;
  (*here)->start(heard.events());
  there->start({[&there](Lane, const ByteBuffer&) { there->close(); }, [](const Error&) {}});
  (*here)->send(Lane::control, bytes_of("last"));
  EXPECT_EQ(heard.wait_for_end().code, ErrorCode::unreachable);
}

TEST_F(Lanes, EndWhenTheOtherEndVanishes) {
  join();
  relay_->cut(0);
  EXPECT_EQ(heard_here_.wait_for_end().code, ErrorCode::unreachable);
  EXPECT_EQ(heard_there_.wait_for_end().code, ErrorCode::unreachable);
}

TEST_F(Lanes, EndWhenNothingPassesAnyMore) {
  join();
  relay_->stall();
  const auto error = heard_here_.wait_for_end();
  EXPECT_EQ(error.code, ErrorCode::unreachable);
  EXPECT_THAT(error.message, HasSubstr("hostb"));
  EXPECT_NE(error.hint, "");
  EXPECT_EQ(heard_there_.wait_for_end().code, ErrorCode::unreachable);
}

TEST_F(Lanes, EndWhenOneDirectionIsDead) {
  join();
  relay_->stall(Direction::to_target);
  EXPECT_EQ(heard_there_.wait_for_end().code, ErrorCode::unreachable);
  EXPECT_EQ(heard_here_.wait_for_end().code, ErrorCode::unreachable);
}

// Whoever is slow on one lane holds up that lane alone, and is not taken for dead.
TEST_F(Lanes, WaitForAReceiverThatHasNotDealtWithOneOfThem) {
  listen();
  auto here = dial();
  ASSERT_TRUE(here);
  const auto there = accepted();
  Recorder heard;
  auto events = heard.events();
  events.dealt_with_later = true;
  there->start(std::move(events));
  (*here)->start(heard_here_.events());
  constexpr std::size_t kSize = 100'000;
  constexpr std::size_t kFit = window(Lane::ram_return) / (kSize + 2 * kFrameCost);
  for (std::size_t i = 0; i < kFit + 2; ++i) (*here)->send(Lane::ram_return, ByteBuffer(kSize));
  (*here)->send(Lane::hypervisor_rpc, bytes_of("passes"));
  std::size_t heard_of_it = 0;
  while (heard.next_message().first == Lane::ram_return) ++heard_of_it;
  EXPECT_LE(heard_of_it, kFit);
  for (std::size_t i = 0; i < heard_of_it; ++i) there->dealt_with(Lane::ram_return, kSize);
  for (; heard_of_it < kFit + 2; ++heard_of_it) {
    ASSERT_EQ(heard.next_message().first, Lane::ram_return);
    there->dealt_with(Lane::ram_return, kSize);
  }
  EXPECT_FALSE(heard_here_.has_ended());
}

TEST_F(Lanes, EndWhenMorePilesUpThanMayBeHeld) {
  patience_.silence = Milliseconds(60'000);
  join();
  relay_->stall(Direction::to_target);
  // What the kernel's buffers take comes on top of what is held here.
  for (std::size_t sent = 0; sent < 2 * kMostQueued; sent += kMebibyte) {
    here_->send(Lane::hypervisor_rpc, ByteBuffer(kMebibyte));
  }
  const auto error = heard_here_.wait_for_end();
  EXPECT_EQ(error.code, ErrorCode::refused);
  EXPECT_THAT(error.message, HasSubstr("does not take"));
}

}  // namespace
}  // namespace vmigrate::peer
