#include "hypervisor/fake.hpp"

#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <sys/socket.h>

#include "base/bounded_queue.hpp"
#include "base/clock.hpp"

namespace vmigrate::hypervisor {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

MonotonicTime soon() {
  return std::chrono::steady_clock::now() + seconds(20);
}

/// Carries bytes between two sockets until one of them ends.
class Carrier {
 public:
  Carrier(FileDescriptor left, FileDescriptor right) : left_(std::move(left)), right_(std::move(right)) {
    forth_ = std::jthread([this] { carry(left_.get(), right_.get()); });
    back_ = std::jthread([this] { carry(right_.get(), left_.get()); });
  }
  ~Carrier() {
    ::shutdown(left_.get(), SHUT_RDWR);
    ::shutdown(right_.get(), SHUT_RDWR);
  }

 private:
  static void carry(int from, int to) {
    std::array<std::byte, 1024> chunk;
    for (;;) {
      const auto count = ::recv(from, chunk.data(), chunk.size(), 0);
      if (count <= 0) break;
      if (::send(to, chunk.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL) != count) break;
    }
    ::shutdown(to, SHUT_WR);
  }
  FileDescriptor left_;
  FileDescriptor right_;
  std::jthread forth_;
  std::jthread back_;
};

/// Two hosts and a move between them, wired without any daemon.
class FakeMove : public testing::Test {
 protected:
  void SetUp() override { a_.add(vm_); }

  void start(const OutgoingOptions& options = {}) {
    begin_incoming();
    OutgoingEvents events;
    events.to_peer = [this](PeerMessage message) { incoming_->deliver(std::move(message)); };
    events.stream_connected = [this](FileDescriptor source) {
      auto destination = incoming_->connect_stream();
      if (destination) carrier_.emplace(std::move(source), std::move(*destination));
    };
    events.finish_requested = [this](FinishCall call) { finishes_.push(std::move(call)); };
    events.ended = [this](Result<> result) { ends_.push(std::move(result)); };
    outgoing_ = a_.begin_outgoing(vm_, options, std::move(events)).value();
    outgoing_->start();
  }

  void begin_incoming() {
    IncomingEvents events;
    events.to_peer = [this](PeerMessage message) { outgoing_->deliver(std::move(message)); };
    events.failed = [this](Error error) { failures_.push(std::move(error)); };
    incoming_ = b_.begin_incoming({"", vm_}, std::move(events)).value();
  }

  FinishCall finish_call() { return finishes_.pop_until(soon()).value(); }
  Result<> end() { return ends_.pop_until(soon()).value(); }
  DomainState at_a() { return a_.state(vm_.id).value(); }
  DomainState at_b() { return b_.state(vm_.id).value(); }

  std::shared_ptr<FakeWorld> world_ = std::make_shared<FakeWorld>();
  FakeHypervisor a_{"hosta", world_};
  FakeHypervisor b_{"hostb", world_};
  DomainDescription vm_ = example_domain();
  BoundedQueue<FinishCall> finishes_{8};
  BoundedQueue<Result<>> ends_{8};
  BoundedQueue<Error> failures_{8};
  std::unique_ptr<IncomingMove> incoming_;
  std::optional<Carrier> carrier_;
  std::unique_ptr<OutgoingMove> outgoing_;
};

TEST_F(FakeMove, MovesAVmThatRunsOnOneHostOnly) {
  start();
  const FinishCall call = finish_call();
  EXPECT_FALSE(call.cancelled);
  EXPECT_EQ(at_a(), DomainState::paused);
  EXPECT_EQ(at_b(), DomainState::incoming);
  const FinishAnswer answer = incoming_->finish(call);
  ASSERT_TRUE(answer.loaded) << answer.reason;
  EXPECT_EQ(at_b(), DomainState::paused);
  ASSERT_TRUE(b_.resume(vm_.id));
  outgoing_->answer_finish(answer);
  EXPECT_TRUE(end());
  EXPECT_EQ(at_a(), DomainState::absent);
  EXPECT_TRUE(b_.describe("web1")->persistent);
  EXPECT_THAT(world_->running_on(vm_.id), UnorderedElementsAre("hostb"));
  EXPECT_EQ(world_->most_running_at_once(vm_.id), 1U);
  EXPECT_LT(world_->position("hosta: vCPUs stopped"), world_->position("hostb: resume"));
}

TEST_F(FakeMove, KeepsTheDefinitionWhenAsked) {
  OutgoingOptions options;
  options.keep_source_definition = true;
  start(options);
  outgoing_->answer_finish(incoming_->finish(finish_call()));
  EXPECT_TRUE(end());
  EXPECT_EQ(at_a(), DomainState::shut_off);
}

TEST_F(FakeMove, ResumesTheSourceWhenItCannotBeLoaded) {
  b_.script().fail(FakeStep::load, Error{ErrorCode::failed, "a device does not fit"});
  start();
  const FinishAnswer answer = incoming_->finish(finish_call());
  EXPECT_FALSE(answer.loaded);
  EXPECT_EQ(at_b(), DomainState::absent);
  EXPECT_EQ(at_a(), DomainState::paused);
  outgoing_->answer_finish(answer);
  EXPECT_THAT(end().error().message, HasSubstr("a device does not fit"));
  EXPECT_EQ(at_a(), DomainState::running);
}

TEST_F(FakeMove, EndsWithoutFinishWhenPrepareIsRefused) {
  b_.script().fail(FakeStep::prepare, Error{ErrorCode::refused, "no memory"});
  start();
  EXPECT_THAT(end().error().message, HasSubstr("no memory"));
  EXPECT_EQ(at_a(), DomainState::running);
  EXPECT_EQ(at_b(), DomainState::absent);
}

class FakeMoveAt : public FakeMove, public testing::WithParamInterface<FakeStep> {};

TEST_P(FakeMoveAt, AbortLeavesItRunningHere) {
  a_.script().hold(GetParam());
  start();
  ASSERT_TRUE(a_.script().reached(GetParam()));
  outgoing_->abort();
  if (GetParam() != FakeStep::ask_prepare) {
    const FinishCall call = finish_call();
    EXPECT_TRUE(call.cancelled);
    outgoing_->answer_finish(incoming_->finish(call));
  }
  EXPECT_FALSE(end());
  EXPECT_TRUE(incoming_->discard());
  EXPECT_EQ(at_a(), DomainState::running);
  EXPECT_EQ(at_b(), DomainState::absent);
}

TEST_P(FakeMoveAt, DeadDaemonsLeaveItRunningHere) {
  a_.script().hold(GetParam());
  start();
  ASSERT_TRUE(a_.script().reached(GetParam()));
  outgoing_.reset();
  incoming_.reset();
  EXPECT_EQ(at_a(), DomainState::running);
  EXPECT_EQ(at_b(), DomainState::absent);
}

TEST_P(FakeMoveAt, KilledVmIsGoneEverywhere) {
  a_.script().hold(GetParam());
  start();
  ASSERT_TRUE(a_.script().reached(GetParam()));
  a_.kill(vm_.id);
  if (GetParam() != FakeStep::ask_prepare) {
    const FinishCall call = finish_call();
    EXPECT_TRUE(call.cancelled);
    outgoing_->answer_finish(incoming_->finish(call));
  }
  EXPECT_FALSE(end());
  incoming_.reset();
  EXPECT_TRUE(world_->running_on(vm_.id).empty());
  EXPECT_EQ(at_a(), DomainState::shut_off);
}

INSTANTIATE_TEST_SUITE_P(Steps, FakeMoveAt,
                         testing::Values(FakeStep::ask_prepare, FakeStep::connect, FakeStep::memory,
                                         FakeStep::stopped, FakeStep::perform));

TEST_F(FakeMove, AbortAfterFinishWasRequestedChangesNothing) {
  start();
  const FinishCall call = finish_call();
  outgoing_->abort();
  outgoing_->answer_finish(incoming_->finish(call));
  EXPECT_TRUE(end());
}

TEST_F(FakeMove, DeadDaemonsAfterFinishLeaveBothCopiesPaused) {
  start();
  const FinishCall call = finish_call();
  ASSERT_TRUE(incoming_->finish(call).loaded);
  outgoing_.reset();
  incoming_.reset();
  EXPECT_EQ(at_a(), DomainState::paused);
  EXPECT_EQ(at_b(), DomainState::paused);
}

TEST_F(FakeMove, DiscardAfterFinishRemovesWhatTheMoveMade) {
  start();
  ASSERT_TRUE(incoming_->finish(finish_call()).loaded);
  EXPECT_TRUE(incoming_->discard());
  EXPECT_EQ(at_b(), DomainState::absent);
  outgoing_->answer_finish({});
  EXPECT_FALSE(end());
  EXPECT_EQ(at_a(), DomainState::running);
}

TEST_F(FakeMove, DiscardKeepsADefinitionThatWasThereBefore) {
  DomainDescription old = vm_;
  old.state = DomainState::shut_off;
  b_.add(old);
  start();
  ASSERT_TRUE(incoming_->finish(finish_call()).loaded);
  EXPECT_TRUE(incoming_->discard());
  EXPECT_EQ(at_b(), DomainState::shut_off);
  outgoing_->answer_finish({});
  EXPECT_FALSE(end());
}

TEST_F(FakeMove, LostConfirmLeavesTheSourcePaused) {
  a_.script().fail(FakeStep::confirm, Error{ErrorCode::failed, "libvirtd went away"});
  start();
  outgoing_->answer_finish(incoming_->finish(finish_call()));
  EXPECT_FALSE(end());
  EXPECT_EQ(at_a(), DomainState::paused);
}

TEST_F(FakeMove, TellsWhenTheArrivingVmDies) {
  a_.script().hold(FakeStep::memory);
  start();
  ASSERT_TRUE(a_.script().reached(FakeStep::memory));
  b_.kill(vm_.id);
  EXPECT_THAT(failures_.pop_until(soon())->message, HasSubstr("QEMU died"));
  EXPECT_EQ(at_b(), DomainState::absent);
  outgoing_->abort();
  outgoing_->answer_finish(incoming_->finish(finish_call()));
  EXPECT_FALSE(end());
}

TEST_F(FakeMove, PausedVmStaysPausedWhenTheMoveFails) {
  a_.pause(vm_.id);
  a_.script().hold(FakeStep::stopped);
  start();
  ASSERT_TRUE(a_.script().reached(FakeStep::stopped));
  outgoing_->abort();
  outgoing_->answer_finish(incoming_->finish(finish_call()));
  EXPECT_FALSE(end());
  EXPECT_EQ(at_a(), DomainState::paused);
}

TEST(FakeWorldTest, SeesTwoRunningCopies) {
  const auto world = std::make_shared<FakeWorld>();
  FakeHypervisor a("hosta", world);
  FakeHypervisor b("hostb", world);
  DomainDescription vm = example_domain();
  a.add(vm);
  vm.state = DomainState::paused;
  b.add(vm);
  EXPECT_EQ(world->most_running_at_once(vm.id), 1U);
  ASSERT_TRUE(b.resume(vm.id));
  EXPECT_EQ(world->most_running_at_once(vm.id), 2U);
}

}  // namespace
}  // namespace vmigrate::hypervisor
