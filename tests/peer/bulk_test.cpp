// The RAM lane: striped over connections, joined in order, never taken for whole when it is not.
#include <atomic>
#include <random>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "peer/reconnector.hpp"
#include "relayed_session.hpp"

namespace vmigrate::peer {
namespace {

class Bulk : public RelayedSession {
 protected:
  void join(int connections) {
    bulk_connections_ = connections;
    RelayedSession::join();
  }

  /// Writes in pieces of random sizes, then finishes. The first error ends it.
  static Result<> write_all(BulkSender& sender, ByteView bytes, std::uint32_t seed) {
    std::mt19937 random(seed);
    while (!bytes.empty()) {
      // Mostly small, sometimes several chunks at once.
      const std::size_t most = random() % 8 == 0 ? 400'000 : 5'000;
      const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 1 + random() % most));
      if (auto written = write(sender, piece, random() % 2 == 0); !written) return written;
      bytes = bytes.subspan(piece.size());
    }
    return sender.finish();
  }

  static Result<> write(BulkSender& sender, ByteView piece, bool in_place) {
    if (!in_place || piece.size() > BulkSender::kMostInPlace) return sender.write(piece);
    ByteBuffer buffer(BulkSender::kHeadRoom);
    buffer.insert(buffer.end(), piece.begin(), piece.end());
    return sender.write_in_place(std::move(buffer));
  }

  /// Everything up to the end, or the error.
  static Result<ByteBuffer> read_all(BulkReceiver& receiver) {
    ByteBuffer all;
    for (;;) {
      auto piece = receiver.read();
      if (!piece) return fail(piece.error());
      if (piece->empty()) return all;
      EXPECT_LE(piece->size(), kMebibyte);
      all.insert(all.end(), piece->begin(), piece->end());
    }
  }
};

class BulkOver : public Bulk, public testing::WithParamInterface<int> {};

TEST_P(BulkOver, SeveralConnectionsArrivesWhole) {
  join(GetParam());
  const auto bytes = patterned_bytes(24 * kMebibyte);
  std::thread writer([&] { EXPECT_TRUE(write_all(here_->bulk_sender(), bytes, 3)); });
  const auto read = read_all(there_->bulk_receiver());
  writer.join();
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(*read == bytes);
  EXPECT_EQ(relay_->connections(), 1U + static_cast<std::size_t>(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Connections, BulkOver, testing::Values(1, 2, 3, 4));

TEST_F(Bulk, ABufferIsSentInPlaceWhetherEmptyOrFull) {
  join(2);
  const auto bytes = patterned_bytes(2 * BulkSender::kMostInPlace + 1);
  const auto all = ByteView(bytes);
  for (const auto piece : {all.first(0), all.first(BulkSender::kMostInPlace),
                           all.subspan(BulkSender::kMostInPlace, 1), all.last(BulkSender::kMostInPlace)})
    EXPECT_TRUE(write(here_->bulk_sender(), piece, true));
  EXPECT_TRUE(here_->bulk_sender().finish());
  const auto read = read_all(there_->bulk_receiver());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(*read == bytes);
}

TEST_F(Bulk, MayBeEmpty) {
  join(2);
  EXPECT_TRUE(here_->bulk_sender().finish());
  const auto read = read_all(there_->bulk_receiver());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read->empty());
  // The end stays the end.
  EXPECT_TRUE(there_->bulk_receiver().read()->empty());
}

TEST_F(Bulk, OpensNoConnectionsForASessionThatSendsNone) {
  join(2);
  here_->send(Lane::control, bytes_of("only a question"));
  heard_there_.next_message();
  EXPECT_EQ(relay_->connections(), 1U);
}

TEST_F(Bulk, IsNeverTakenForWholeWhenTheLinkIsCut) {
  const auto bytes = patterned_bytes(4 * kMebibyte);
  for (const std::uint64_t cut : {1U, 5'000U, 300'000U, 1'500'000U, 4'000'000U}) {
    join(1);
    relay_->cut_all_after(1, cut);
    std::thread writer([&] { (void)write_all(here_->bulk_sender(), bytes, 5); });
    EXPECT_FALSE(read_all(there_->bulk_receiver())) << "cut after " << cut;
    here_->close();
    writer.join();
  }
}

// Both ends learn of it from the lost connection itself: the control connection lives.
TEST_F(Bulk, FailsOnBothEndsWhenOneOfItsConnectionsIsLost) {
  join(3);
  std::thread writer([&] {
    const auto bytes = ByteBuffer(kMebibyte);
    while (here_->bulk_sender().write(bytes)) {
    }
    EXPECT_FALSE(here_->bulk_sender().finish());
  });
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->cut(2);
  EXPECT_FALSE(read_all(there_->bulk_receiver()));
  writer.join();
}

// The other daemon was started anew and turns the connection away: that is no lack of permission.
TEST(CodeOfLoss, OnlyWhatMakesNoSenseIsNotTakenForAHostThatCannotBeReached) {
  EXPECT_EQ(code_of_loss({ErrorCode::not_allowed, "", ""}), ErrorCode::unreachable);
  EXPECT_EQ(code_of_loss({ErrorCode::failed, "", ""}), ErrorCode::unreachable);
  EXPECT_EQ(code_of_loss({ErrorCode::refused, "", ""}), ErrorCode::refused);
}

TEST_F(Bulk, FailsOnBothEndsWhenTheLinkIsDead) {
  join(2);
  auto writer = write_until_it_fails();
  ASSERT_TRUE(there_->bulk_receiver().read());
  relay_->stall();
  EXPECT_FALSE(read_all(there_->bulk_receiver()));
  writer.join();
}

TEST_F(Bulk, IsHeldBackByItsReader) {
  join(2);
  std::atomic<std::size_t> written = 0;
  std::thread writer([&] {
    const auto piece = ByteBuffer(64 * kKibibyte);
    while (here_->bulk_sender().write(piece)) written += piece.size();
  });
  // The kernel's buffers on both sides and in the relay, the window of the receiver, the queue of the sender.
  constexpr std::size_t kMostOnTheWay = 40 * kMebibyte;
  std::size_t read = 0;
  std::size_t most = 0;
  while (read < 100 * kMebibyte) {
    const auto piece = there_->bulk_receiver().read();
    ASSERT_TRUE(piece);
    read += piece->size();
    most = std::max(most, written - std::min(read, written.load()));
  }
  EXPECT_LT(most, kMostOnTheWay);
  here_->close();
  writer.join();
}

TEST_F(Bulk, StarvesNoneOfItsConnections) {
  constexpr int kConnections = 4;
  join(kConnections);
  auto writer = write_until_it_fails();
  std::thread reader([&] {
    while (there_->bulk_receiver().read()) {
    }
  });
  // One that gets nothing is waited for until the test's time is up.
  for (std::size_t connection = 1; connection <= kConnections; ++connection)
    relay_->await_passed(connection, Relay::Direction::to_target, 4 * kMebibyte);
  here_->close();
  writer.join();
  reader.join();
  for (std::size_t connection = 1; connection <= kConnections; ++connection)
    EXPECT_GE(relay_->passed(connection, Relay::Direction::to_target), 4 * kMebibyte) << connection;
}

/// Makes the kernel send next to nothing on one of this process's bulk connections to `port`.
void throttle_one_to(std::uint16_t port) {
  constexpr int kHighest = 1024;
  constexpr unsigned kBytesPerSecond = 1'000;
  for (int socket = 0; socket < kHighest; ++socket) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    int priority = 0;
    socklen_t priority_size = sizeof priority;
    if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != port) continue;
    // Messages have one of their own.
    if (::getsockopt(socket, SOL_SOCKET, SO_PRIORITY, &priority, &priority_size) != 0 || priority != 0)
      continue;
    ASSERT_EQ(::setsockopt(socket, SOL_SOCKET, SO_MAX_PACING_RATE, &kBytesPerSecond, sizeof kBytesPerSecond),
              0);
    return;
  }
  FAIL() << "there is no bulk connection";
}

// As one is that loses packets, or that BBR holds back for a fifth of a second.
TEST_F(Bulk, AtTheEndDoesNotWaitForAConnectionThatGetsNothingOntoTheWire) {
  join(3);
  const auto bytes = patterned_bytes(3 * kMebibyte);
  const auto first = ByteView(bytes).first(2 * kMebibyte);
  std::thread writer([&] { EXPECT_TRUE(here_->bulk_sender().write(first)); });
  ByteBuffer arrived;
  const auto read_until = [&](std::size_t size) {
    while (arrived.size() < size) {
      const auto piece = there_->bulk_receiver().read();
      ASSERT_TRUE(piece && !piece->empty());
      arrived.insert(arrived.end(), piece->begin(), piece->end());
    }
  };
  read_until(first.size());
  writer.join();
  throttle_one_to(relay_->port());
  ASSERT_TRUE(here_->bulk_sender().write(ByteView(bytes).subspan(first.size())));
  ASSERT_TRUE(here_->bulk_sender().finish());
  // By itself it would take a minute for each chunk: what is waited for in vain is waited for until the
  // test's time is up.
  read_until(bytes.size());
  EXPECT_TRUE(arrived == bytes);
  here_->close();
}

TEST_F(Bulk, LetsGoOfAWriterWhenTheSessionIsClosed) {
  join(2);
  auto writer = write_until_it_fails();
  relay_->await_passed(1, Relay::Direction::to_target, kMebibyte);
  here_->close();
  writer.join();
  EXPECT_FALSE(here_->bulk_sender().write(ByteBuffer(1)));
}

TEST_F(Bulk, LetsGoOfAReaderWhenTheSessionIsClosed) {
  join(2);
  std::thread reader([&] { EXPECT_FALSE(there_->bulk_receiver().read()); });
  there_->close();
  reader.join();
}

TEST_F(Bulk, FailsForAReaderWhoseSenderGoesWithoutAWord) {
  join(2);
  ASSERT_TRUE(here_->bulk_sender().write(bytes_of("half")));
  EXPECT_EQ(*there_->bulk_receiver().read(), bytes_of("half"));
  here_.reset();
  EXPECT_FALSE(there_->bulk_receiver().read());
}

TEST_F(Bulk, SaysWhenItsConnectionsCannotBeOpened) {
  join(2);
  stop_listening();
  // They are opened while the first chunks wait.
  Result<> written;
  while (written) written = here_->bulk_sender().write(bytes_of("memory"));
  EXPECT_EQ(written.error().code, ErrorCode::unreachable);
}

}  // namespace
}  // namespace vmigrate::peer
