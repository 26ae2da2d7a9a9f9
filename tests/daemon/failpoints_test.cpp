#include "daemon/failpoints.hpp"

#include <array>
#include <csignal>
#include <functional>
#include <future>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.hpp"
#include "hypervisor/fake.hpp"
#include "migration/messages.hpp"

namespace vmigrate::daemon {
namespace {

using testing::HasSubstr;

class FailpointsTest : public testing::Test {
 protected:
  std::unique_ptr<handover::Journal> open() const {
    return std::move(*handover::open_journal(folder_.file("journal.db")));
  }
  handover::Record record(const std::string& state) const {
    handover::Record record;
    record.migration = id_;
    record.vm = *VmId::parse("123e4567-e89b-12d3-a456-426614174000");
    record.vm_name = "web1";
    record.state = state;
    return record;
  }
  /// In a process of its own, which the failpoint may end or stop: how that came out. 0: `act` came to its
  /// end.
  static int status_of(const std::string& failpoint, const std::function<void(Failpoints&)>& act) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto failpoints = Failpoints::parse(failpoint);
      if (!failpoints) ::_exit(1);
      act(*failpoints);
      ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    return status;
  }
  int status_of_writing(const std::string& failpoint, const std::string& state) const {
    return status_of(failpoint, [&](Failpoints& failpoints) {
      if (!failpoints.around(open())->write(record(state))) ::_exit(1);
    });
  }
  static bool is_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }
  bool is_written() const { return open()->find(id_, handover::Role::source)->has_value(); }

  const TemporaryFolder folder_;
  const MigrationId id_ = MigrationId::random();
};

TEST_F(FailpointsTest, KillBeforeLosesThePromise) {
  EXPECT_TRUE(is_killed(status_of_writing("kill:before:relinquished", "relinquished")));
  EXPECT_FALSE(is_written());
}

TEST_F(FailpointsTest, KillAfterKeepsThePromise) {
  EXPECT_TRUE(is_killed(status_of_writing("kill:after:relinquished", "relinquished")));
  EXPECT_TRUE(is_written());
}

TEST_F(FailpointsTest, StopStops) {
  const int before = status_of_writing("stop:before:in doubt", "in doubt");
  EXPECT_TRUE(WIFSTOPPED(before));
  EXPECT_FALSE(is_written());
  const int after = status_of_writing("stop:after:in doubt", "in doubt");
  EXPECT_TRUE(WIFSTOPPED(after));
  EXPECT_TRUE(is_written());
}

TEST_F(FailpointsTest, OtherPromisesAreWrittenAsEver) {
  EXPECT_EQ(status_of_writing("kill:before:relinquished", "preparing"), 0);
  EXPECT_TRUE(is_written());
}

TEST_F(FailpointsTest, WithoutOneTheJournalIsAsItWas) {
  auto journal = open();
  const auto* before = journal.get();
  const auto after = Failpoints::parse("")->around(std::move(journal));
  EXPECT_EQ(after.get(), before);
}

TEST_F(FailpointsTest, WhatIsAskedOfTheJournalIsAnsweredByIt) {
  const auto journal = Failpoints::parse("kill:after:done")->around(open());
  auto promise = record("relinquished");
  promise.epoch = 12;
  ASSERT_TRUE(journal->write(promise));
  EXPECT_EQ(journal->find(id_, handover::Role::source)->value(), promise);
  EXPECT_EQ(journal->unfinished()->size(), 1U);
  EXPECT_EQ(*journal->last_epoch(promise.vm), 12U);
}

/// Says through a pipe what has come through it.
class TellingSession : public peer::Session, public peer::BulkSender, public peer::BulkReceiver {
 public:
  explicit TellingSession(int pipe) : pipe_(pipe) {}
  const peer::PeerIdentity& peer() const override { return peer_; }
  void start(peer::SessionEvents events) override {
    events.message(peer::Lane::control, migration::encode(migration::Confirmed{MigrationId::random()}));
    events.message(peer::Lane::control, migration::encode(migration::Ping{}));
  }
  void send(peer::Lane, ByteBuffer message) override { tell(message.size()); }
  BulkSender& bulk_sender() override { return *this; }
  BulkReceiver& bulk_receiver() override { return *this; }
  std::chrono::nanoseconds round_trip() const override { return {}; }
  void set_reconnect_window(Milliseconds) override {}
  void close() override {}
  Result<> write_parts(Parts parts) override {
    for (const auto& part : parts) tell(part.size());
    return {};
  }
  Result<> finish() override { return {}; }
  std::chrono::nanoseconds waited() const override { return {}; }
  Result<ByteBuffer> read() override { return ByteBuffer(100); }
  void tell(std::size_t size) const {
    const std::string said(size, '.');
    EXPECT_EQ(::write(pipe_, said.data(), size), static_cast<ssize_t>(size));
  }

 private:
  const int pipe_;
  const peer::PeerIdentity peer_;
};

class SessionFailpointsTest : public FailpointsTest {
 protected:
  SessionFailpointsTest() { EXPECT_EQ(::pipe2(pipe_.data(), O_NONBLOCK), 0); }
  ~SessionFailpointsTest() override {
    for (const int end : pipe_) ::close(end);
  }
  int status_of_using(const std::string& failpoint, const std::function<void(peer::Session&)>& use) const {
    return status_of(failpoint, [&](Failpoints& failpoints) {
      const auto session = failpoints.around(std::make_unique<TellingSession>(pipe_[1]));
      use(*session);
    });
  }
  /// Bytes since the last call.
  std::size_t told() const {
    std::array<char, 4096> buffer{};
    return static_cast<std::size_t>(std::max<ssize_t>(::read(pipe_[0], buffer.data(), buffer.size()), 0));
  }

  std::array<int, 2> pipe_{};
};

TEST_F(SessionFailpointsTest, AMessageIsSentOrNot) {
  const auto message = migration::encode(migration::Confirmed{id_});
  const auto send = [&](peer::Session& session) {
    session.send(peer::Lane::control, migration::encode(migration::Ping{}));
    session.send(peer::Lane::control, copy_of(message));
  };
  const auto first = migration::encode(migration::Ping{}).size();
  EXPECT_TRUE(is_killed(status_of_using("kill:before:sending confirmed", send)));
  EXPECT_EQ(told(), first);
  EXPECT_TRUE(is_killed(status_of_using("kill:after:sending confirmed", send)));
  EXPECT_EQ(told(), first + message.size());
  EXPECT_EQ(status_of_using("kill:after:sending verdict", send), 0);
}

TEST_F(SessionFailpointsTest, AMessageIsHeardOrNot) {
  const auto listen = [this](peer::Session& session) {
    peer::SessionEvents events;
    events.message = [this](peer::Lane, const ByteBuffer&) { TellingSession(pipe_[1]).tell(1); };
    session.start(events);
  };
  EXPECT_TRUE(WIFSTOPPED(status_of_using("stop:before:receiving ping", listen)));
  EXPECT_EQ(told(), 1U);
  EXPECT_TRUE(WIFSTOPPED(status_of_using("stop:after:receiving ping", listen)));
  EXPECT_EQ(told(), 2U);
}

TEST_F(SessionFailpointsTest, AByteOfTheMemoryLane) {
  const ByteBuffer bytes(100);
  const auto write = [&](peer::Session& session) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(session.bulk_sender().write_parts({bytes, bytes}));
  };
  EXPECT_TRUE(is_killed(status_of_using("kill:before:sending byte 201", write)));
  EXPECT_EQ(told(), 200U);
  EXPECT_TRUE(is_killed(status_of_using("kill:after:sending byte 200", write)));
  EXPECT_EQ(told(), 200U);
  EXPECT_EQ(status_of_using("kill:after:sending byte 601", write), 0);
  EXPECT_EQ(told(), 600U);
  const auto read = [&](peer::Session& session) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(session.bulk_receiver().read());
      TellingSession(pipe_[1]).tell(1);
    }
  };
  EXPECT_TRUE(is_killed(status_of_using("kill:before:receiving byte 101", read)));
  EXPECT_EQ(told(), 1U);
}

TEST_F(FailpointsTest, WhatTheHypervisorTells) {
  const auto move = [](Failpoints& failpoints) {
    hypervisor::FakeHypervisor real("hosta", std::make_shared<hypervisor::FakeWorld>());
    real.add(hypervisor::example_domain());
    auto& hypervisor = failpoints.around(real);
    std::promise<void> ended;
    hypervisor::OutgoingEvents events;
    events.to_peer = [](const hypervisor::PeerMessage&) {};
    events.stream_connected = [](const FileDescriptor&) {};
    events.finish_requested = [](const hypervisor::FinishCall&) {};
    events.ended = [&](const Result<>&) { ended.set_value(); };
    auto leaving = hypervisor.begin_outgoing(hypervisor::example_domain(), {}, std::move(events));
    (*leaving)->start();
    (*leaving)->abort();
    ended.get_future().wait();
  };
  EXPECT_TRUE(is_killed(status_of("kill:before:ended", move)));
  EXPECT_EQ(status_of("kill:before:prepared", move), 0);
}

TEST_F(FailpointsTest, AMisspeltOneIsAnErrorAndNotATestThatNeverFails) {
  for (const auto* wrong :
       {"kill", "kill:after", "kill:after:", "kill:after:relinquishd", "maim:after:done", "kill:during:done",
        ":", "::", "kill::done", " kill:after:done", "kill:after:sending", "kill:after:sending off",
        "kill:after:sends finish", "kill:after:sending byte", "kill:after:sending byte 0",
        "kill:after:sending byte 1k", "kill:after:receiving byte -1", "kill:after:finish"}) {
    const auto failpoints = Failpoints::parse(wrong);
    ASSERT_FALSE(failpoints) << wrong;
    EXPECT_EQ(failpoints.error().code, ErrorCode::usage);
    EXPECT_THAT(failpoints.error().message, HasSubstr(wrong));
    EXPECT_THAT(failpoints.error().hint, HasSubstr("kill:after:relinquished"));
  }
}

}  // namespace
}  // namespace vmigrate::daemon
