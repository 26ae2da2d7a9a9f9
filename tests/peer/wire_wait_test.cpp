// What a sender's waiting is put down to: the network, or a receiver that does not read.
#include "peer/wire_wait.hpp"

#include <future>
#include <list>
#include <thread>

#include <sys/socket.h>

#include "peer/bulk.hpp"
#include "peer/tcp.hpp"
#include "sockets.hpp"
#include "two_hosts.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr MonotonicTime kBegin{};

TEST(WireWait, IsWhatTheReceiverIsNotToBlameFor) {
  WireWait waits;
  EXPECT_EQ(waits.total(kBegin, milliseconds(500)), milliseconds(0));
  waits.begin(kBegin, milliseconds(500));
  waits.end(kBegin + milliseconds(100), milliseconds(530));
  EXPECT_EQ(waits.total(kBegin + milliseconds(200), milliseconds(530)), milliseconds(70));
}

TEST(WireWait, KnowsTheWaitThatIsGoingOn) {
  WireWait waits;
  waits.begin(kBegin, milliseconds(0));
  EXPECT_EQ(waits.total(kBegin + milliseconds(100), milliseconds(20)), milliseconds(80));
}

TEST(WireWait, IsNotMadeLessByAWindowThatWasClosedWhileNobodyWaited) {
  WireWait waits;
  waits.begin(kBegin, milliseconds(0));
  waits.end(kBegin + milliseconds(100), milliseconds(0));
  waits.begin(kBegin + milliseconds(300), milliseconds(200));
  waits.end(kBegin + milliseconds(400), milliseconds(200));
  EXPECT_EQ(waits.total(kBegin + milliseconds(400), milliseconds(200)), milliseconds(200));
}

// The kernel's count goes by ticks.
TEST(WireWait, NeverGoesBackAndIsNeverNegative) {
  WireWait waits;
  waits.begin(kBegin, milliseconds(0));
  EXPECT_EQ(waits.total(kBegin + milliseconds(1), milliseconds(4)), milliseconds(0));
  waits.end(kBegin + milliseconds(10), milliseconds(4));
  EXPECT_EQ(waits.total(kBegin + milliseconds(10), milliseconds(4)), milliseconds(6));
  waits.begin(kBegin + milliseconds(20), milliseconds(4));
  EXPECT_EQ(waits.total(kBegin + milliseconds(21), milliseconds(8)), milliseconds(6));
}

class Waiting : public TwoHosts {
 protected:
  ~Waiting() override {
    for (auto& end : other_ends_) end.interrupt();
    for (auto& reader : readers_) reader.join();
  }

  /// A TLS connection; nobody reads at the other end.
  TlsStream connect() {
    const auto here = endpoint("hosta");
    const auto there = endpoint("hostb");
    const auto listener = listen_anywhere();
    auto other = std::async(std::launch::async, [&] {
      FileDescriptor socket(::accept(listener.get(), nullptr, nullptr));
      return TlsStream::handshake(std::move(socket), there.credentials, false, soon());
    });
    auto socket = connect_to(port_of(listener));
    tune(socket, Traffic::bulk, {});
    auto stream = TlsStream::handshake(std::move(socket), here.credentials, true, soon());
    EXPECT_TRUE(stream) << stream.error().message;
    other_ends_.push_back(std::move(*other.get()));
    return std::move(*stream);
  }
  /// A TLS connection over a path that carries only so much, to somebody who reads.
  TlsStream connect(std::uint32_t bytes_per_second) {
    auto stream = connect();
    readers_.emplace_back([&end = other_ends_.back()] {
      std::array<std::byte, 16'384> bytes{};
      while (end.read_exactly(bytes, soon())) {
      }
    });
    ::setsockopt(stream.descriptor(), SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_second,
                 sizeof bytes_per_second);
    return stream;
  }
  static MonotonicTime soon() { return Clock::now() + std::chrono::seconds(30); }

  std::list<TlsStream> other_ends_;
  std::vector<std::thread> readers_;
};

/// Connections that stand already.
class OpenedBefore : public Reconnector {
 public:
  std::vector<TlsStream> streams;

 protected:
  Result<Joined> join(int number, std::uint64_t, std::optional<MonotonicTime>) override {
    return Joined{std::move(streams.at(static_cast<std::size_t>(number) - 1))};
  }
};

TEST_F(Waiting, ForAReceiverIsNotPutDownToTheNetwork) {
  auto stream = connect();
  const ByteBuffer more_than_the_kernel_holds(128 * kMebibyte);
  EXPECT_FALSE(stream.write_all(more_than_the_kernel_holds, Clock::now() + milliseconds(500)));
  const auto waited = stream.waited();
  const auto limited = measured(stream.descriptor()).receiver_limited;
  EXPECT_FALSE(stream.write_all(more_than_the_kernel_holds, Clock::now() + milliseconds(500)));
  EXPECT_LT(stream.waited() - waited, (measured(stream.descriptor()).receiver_limited - limited) / 4);
}

TEST_F(Waiting, ForASlowNetworkIsAlmostAllThereIs) {
  constexpr std::uint32_t kBytesPerSecond = 2'000'000;
  auto slow = std::make_shared<OpenedBefore>();
  slow->streams.push_back(connect(kBytesPerSecond));
  slow->streams.push_back(connect(kBytesPerSecond));
  StripedSender sender(slow, 2, {});
  EXPECT_EQ(sender.waited(), milliseconds(0));
  const auto begun = Clock::now();
  EXPECT_TRUE(sender.write(ByteBuffer(3 * kMebibyte)));
  const auto waited = sender.waited();
  const auto elapsed = Clock::now() - begun;
  EXPECT_GT(waited, elapsed / 2);
  EXPECT_LE(waited, elapsed) << "it is the mean over the connections";
}

}  // namespace
}  // namespace vmigrate::peer
