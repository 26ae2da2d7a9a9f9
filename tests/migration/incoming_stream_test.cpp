#include "migration/incoming_stream.hpp"

#include <array>
#include <condition_variable>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/batch_opening.hpp"
#include "reduce/frame_header.hpp"

namespace vmigrate::migration {
namespace {

constexpr Bytes kReceiversBudget{std::uint64_t{64} << 20};
constexpr std::size_t kPiece = std::size_t{64} * 1024;
constexpr std::size_t kPieces = 32;  // more than a socket holds
constexpr Milliseconds kLong = std::chrono::seconds(20);

using testing::HasSubstr;

/// So many pieces of a stream, and then silence until it is hung up.
class PiecesAndSilence : public peer::BulkReceiver {
 public:
  Result<ByteBuffer> read() override {
    if (given_ > kPieces) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return hung_up_; });
      if (lost_) return fail(*lost_);
      return ByteBuffer();
    }
    if (given_++ == 0) {
      const auto opening = encode_opening(reduce::sizes_within(kReceiversBudget.count));
      return ByteBuffer(opening.begin(), opening.end());
    }
    const auto header = reduce::encode(reduce::FrameHeader{reduce::Method::as_it_is, kPiece});
    ByteBuffer frame(header.begin(), header.end());
    frame.resize(frame.size() + kPiece);
    return frame;
  }
  void hang_up(std::optional<Error> lost = std::nullopt) {
    const std::lock_guard lock(mutex_);
    hung_up_ = true;
    lost_ = std::move(lost);
    changed_.notify_all();
  }

 private:
  std::size_t given_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool hung_up_ = false;
  std::optional<Error> lost_;
};

/// Of so many bytes of what PiecesAndSilence gives.
StreamDigest digest_of(std::size_t bytes) {
  StreamDigester digester;
  digester.update(ByteBuffer(bytes));
  return digester.digest();
}

class IncomingStreamTest : public testing::Test {
 protected:
  IncomingStreamTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    qemu_ = FileDescriptor(ends[0]);
    stream_.emplace(FileDescriptor(ends[1]), wire_, kReceiversBudget,
                    IncomingStream::Events{[](const ByteBuffer&) {},
                                           [this](std::uint64_t bytes) {
                                             const std::lock_guard lock(mutex_);
                                             said_ = bytes;
                                             changed_.notify_all();
                                           },
                                           [](const Error&) {}});
  }
  ~IncomingStreamTest() override { wire_.hang_up(); }

  std::size_t qemu_takes(std::size_t bytes) {
    ByteBuffer buffer(bytes);
    return static_cast<std::size_t>(::recv(qemu_.get(), buffer.data(), bytes, MSG_WAITALL));
  }
  /// That so much is taken, and no more.
  bool is_said(std::uint64_t bytes) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return said_ >= bytes; }) &&
           said_ == bytes;
  }
  std::uint64_t said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }

  PiecesAndSilence wire_;
  FileDescriptor qemu_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t said_ = 0;
  std::optional<IncomingStream> stream_;
};

TEST_F(IncomingStreamTest, SaysHowMuchQemuHasTakenAndNotWhatItWasGiven) {
  std::size_t taken = 0;
  for (; taken < (kPieces - 1) * kPiece; taken += 1000) {
    ASSERT_LE(said(), taken);
    ASSERT_EQ(qemu_takes(1000), 1000U);
  }
  EXPECT_LE(said(), taken);
  const auto rest = kPieces * kPiece - taken;
  EXPECT_EQ(qemu_takes(rest), rest);
  EXPECT_TRUE(is_said(kPieces * kPiece));
}

TEST_F(IncomingStreamTest, SaysSoOfOneThatHasNothingToSayItself) {
  ::shutdown(qemu_.get(), SHUT_WR);
  EXPECT_EQ(qemu_takes(kPieces * kPiece), kPieces * kPiece);
  EXPECT_TRUE(is_said(kPieces * kPiece));
}

TEST_F(IncomingStreamTest, SaysWhetherWhatItHasHandedOverIsWhatWasSent) {
  std::thread qemu([this] { qemu_takes(kPieces * kPiece); });
  auto expected = digest_of(kPieces * kPiece);
  EXPECT_TRUE(stream_->verify(expected, kLong));
  qemu.join();
  expected.checksum[0] ^= std::byte{1};
  const auto verified = stream_->verify(expected, kLong);
  ASSERT_FALSE(verified);
  EXPECT_THAT(verified.error().message, HasSubstr("not what the source sent"));
}

TEST_F(IncomingStreamTest, SaysOfOneThatIsNotWholeInTimeHowFarItCame) {
  const auto verified = stream_->verify(digest_of(kPieces * kPiece), Milliseconds{100});
  ASSERT_FALSE(verified);
  EXPECT_THAT(verified.error().message, HasSubstr("of the 2097152 bytes"));
}

TEST_F(IncomingStreamTest, SaysOfAStreamThatBrokeWhyItDid) {
  EXPECT_EQ(qemu_takes(kPieces * kPiece), kPieces * kPiece);
  wire_.hang_up(Error{ErrorCode::unreachable, "the wire is cut", ""});
  const auto verified = stream_->verify(digest_of(kPieces * kPiece + 1), kLong);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().message, "the wire is cut");
}

}  // namespace
}  // namespace vmigrate::migration
