#include "migration/peer_link.hpp"

#include <future>

#include <gtest/gtest.h>

#include "loopback.hpp"

namespace vmigrate::migration {
namespace {

/// The source's link, whose letters nobody opens: its migration's thread is busy.
class BusyLink : public testing::Test {
 protected:
  BusyLink() {
    network_.listen(
        "hostb", [this](std::unique_ptr<peer::Session> session) { accepted_.set_value(std::move(session)); });
    auto session = network_.dialer("hosta")->dial("hostb");
    EXPECT_TRUE(session);
    link_.emplace(std::move(*session), std::make_shared<Mailbox>(threads_),
                  PeerLink::Events{.message = [](const ControlMessage&) {},
                                   .hypervisor_message = [](const ByteBuffer&) {},
                                   .return_path = [](const ByteBuffer&) {},
                                   .lost = [](const Error&) {},
                                   .backlog = backlog_});
    there_ = accepted_.get_future().get();
    there_->start({.message = [](peer::Lane, const ByteBuffer&) {}, .closed = [](const Error&) {}});
    // Of a destination that takes nothing, more is on its way than may be.
    backlog_->taken(0, MonotonicTime());
    backlog_->taken(0, MonotonicTime() + std::chrono::seconds(1));
    backlog_->sent(4711, std::uint64_t{1} << 30);
    waiting_ = std::async(std::launch::async, [this] { backlog_->wait_for_room(); });
  }

  bool ends_waiting() { return waiting_.wait_for(std::chrono::seconds(20)) == std::future_status::ready; }

  LoopbackNetwork network_;
  SystemThreads threads_;
  std::promise<std::unique_ptr<peer::Session>> accepted_;
  std::shared_ptr<Backlog> backlog_ = std::make_shared<Backlog>(std::chrono::nanoseconds(0));
  std::optional<PeerLink> link_;
  std::unique_ptr<peer::Session> there_;
  std::future<void> waiting_;
};

TEST_F(BusyLink, HearsAllTheSameWhatIsTaken) {
  there_->send(peer::Lane::control, encode(Taken{4711}));
  EXPECT_TRUE(ends_waiting());
  EXPECT_EQ(backlog_->on_its_way(), 0U);
}

TEST_F(BusyLink, HoldsNothingBackOnceItIsLost) {
  there_->close();
  EXPECT_TRUE(ends_waiting());
}

}  // namespace
}  // namespace vmigrate::migration
