#include "migration/outgoing_stream.hpp"

#include <array>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../stream/sample_stream.hpp"

namespace vmigrate::migration {
namespace {

/// Keeps what would go over the network.
class Wire : public peer::BulkSender {
 public:
  Result<> write(ByteView bytes) override {
    const std::lock_guard lock(mutex_);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<> finish() override { return {}; }
  ByteBuffer bytes() {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  std::mutex mutex_;
  ByteBuffer bytes_;
};

StreamDigest digest_of(ByteView bytes) {
  StreamDigester digester;
  digester.update(bytes);
  return digester.digest();
}

class OutgoingStreamTest : public testing::Test {
 protected:
  OutgoingStreamTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    qemu_ = FileDescriptor(ends[0]);
    stream_.emplace(FileDescriptor(ends[1]), wire_, OutgoingStream::Events{[] {}, [](const Error&) {}});
  }

  void qemu_writes(ByteView bytes) {
    ASSERT_EQ(::write(qemu_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  /// Blocks until QEMU is told something.
  ByteBuffer qemu_reads() {
    ByteBuffer buffer(64);
    const auto count = ::read(qemu_.get(), buffer.data(), buffer.size());
    buffer.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return buffer;
  }

  Wire wire_;
  FileDescriptor qemu_;
  std::optional<OutgoingStream> stream_;
};

const ByteBuffer kShut{std::byte{0}, std::byte{1}, std::byte{0}, std::byte{4},
                       std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};

ByteBuffer with_description(std::string_view text) {
  auto stream = stream::sample_stream();
  stream.resize(stream.size() - 6);  // its own, of two characters
  stream::StreamWriter head;
  head.number(text.size(), 4).text(text);
  stream.insert(stream.end(), head.out.begin(), head.out.end());
  return stream;
}

TEST_F(OutgoingStreamTest, AnswersForTheDestinationOnceEverythingIsOnItsWay) {
  const auto stream = with_description(R"({"page_size": 4096, "devices": []})");
  qemu_writes(ByteView(stream).first(stream.size() - 1));
  stream_->deliver_return(kShut);  // of a destination that is early
  EXPECT_EQ(qemu_reads(), kShut);
  qemu_writes(ByteView(stream).last(1));
  EXPECT_EQ(qemu_reads(), kShut);
  EXPECT_EQ(wire_.bytes(), stream::sample_stream());
  stream_->deliver_return(kShut);  // nobody listens any more
  ::shutdown(qemu_.get(), SHUT_WR);
  EXPECT_TRUE(qemu_reads().empty());
}

TEST_F(OutgoingStreamTest, DigestIsOfWhatTheDestinationWillGet) {
  qemu_writes(with_description(R"({"page_size": 4096, "devices": []})"));
  EXPECT_EQ(qemu_reads(), kShut);
  qemu_.reset();
  EXPECT_EQ(stream_->digest(Milliseconds(10'000)), digest_of(stream::sample_stream()));
}

TEST_F(OutgoingStreamTest, CarriesAStreamThatEndsWithoutADescription) {
  auto stream = stream::sample_stream();
  stream.resize(stream.size() - 7);
  qemu_writes(stream);
  qemu_.reset();
  EXPECT_EQ(stream_->digest(Milliseconds(10'000)), digest_of(stream));
  EXPECT_EQ(wire_.bytes(), stream);
}

}  // namespace
}  // namespace vmigrate::migration
