#include "migration/outgoing_stream.hpp"

#include <array>
#include <atomic>
#include <functional>
#include <future>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../stream/sample_stream.hpp"
#include "migration/batch_opening.hpp"
#include "migration/batch_receiver.hpp"

namespace vmigrate::migration {
namespace {

constexpr Bytes kStreamBudget{std::uint64_t{64} << 20};

/// Keeps what goes over the network.
class KeptWire : public peer::BulkSender {
 public:
  Result<> write_parts(Parts parts) override {
    const std::lock_guard lock(mutex_);
    for (const auto part : parts) bytes_.insert(bytes_.end(), part.begin(), part.end());
    if (put) put();
    return {};
  }
  Result<> finish() override {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
    return {};
  }
  std::chrono::nanoseconds waited() const override { return {}; }
  std::function<void()> put;  ///< called when something was
  /// The stream as the destination's QEMU gets it.
  ByteBuffer restored() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return finished_; }));
    ByteBuffer stream;
    BatchReceiver receiver(kStreamBudget, [&](ByteView bytes) {
      stream.insert(stream.end(), bytes.begin(), bytes.end());
      return Result<>();
    });
    EXPECT_TRUE(receiver.feed(bytes_));
    EXPECT_TRUE(receiver.finish());
    return stream;
  }

  /// Of what comes behind the opening.
  reduce::Method first_method() {
    const std::lock_guard lock(mutex_);
    return static_cast<reduce::Method>(bytes_.at(kOpeningBytes));
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    bytes_.clear();
    finished_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
  ByteBuffer bytes_;
};

StreamDigest digest_of(ByteView bytes) {
  StreamDigester digester;
  digester.update(bytes);
  return digester.digest();
}

class OutgoingStreamTest : public testing::Test {
 protected:
  OutgoingStreamTest() { begin(Effort::none); }

  /// Another stream, which starts with this effort.
  void begin(Effort effort) {
    stream_.reset();
    wire_.clear();
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    qemu_ = FileDescriptor(ends[0]);
    const timeval patience{20, 0};
    ASSERT_EQ(::setsockopt(qemu_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    backlog_ = std::make_shared<Backlog>(std::chrono::nanoseconds(0));
    stream_.emplace(FileDescriptor(ends[1]), wire_, reduce::sizes_within(kStreamBudget.count), backlog_,
                    OutgoingStream::Events{[](std::uint32_t) {}, [] {}, [](const Error&) {}}, effort,
                    [this](const Load&, MonotonicTime) { return choose_(); });
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

  std::function<Effort()> choose_ = [] { return Effort::none; };
  KeptWire wire_;
  FileDescriptor qemu_;
  std::shared_ptr<Backlog> backlog_;
  std::optional<OutgoingStream> stream_;
};

const ByteBuffer kShut{std::byte{0}, std::byte{1}, std::byte{0}, std::byte{4},
                       std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};

const std::size_t kBeforeDescription = stream::sample_stream().size() - 8;

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
  qemu_writes(ByteView(stream).first(kBeforeDescription));
  stream_->deliver_return(kShut);  // of a destination that is early
  EXPECT_EQ(qemu_reads(), kShut);
  qemu_writes(ByteView(stream).subspan(kBeforeDescription));
  EXPECT_EQ(qemu_reads(), kShut);
  stream_->deliver_return(kShut);  // nobody listens any more
  ::shutdown(qemu_.get(), SHUT_WR);
  EXPECT_TRUE(qemu_reads().empty());
  EXPECT_EQ(wire_.restored(), stream::sample_stream());
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
  EXPECT_EQ(wire_.restored(), stream);
}

TEST_F(OutgoingStreamTest, ArrivesWholeHoweverQemuWritesIt) {
  const auto stream = with_description(R"({"page_size": 4096, "devices": []})");
  for (std::size_t at = 0; at < kBeforeDescription; at += 501) {
    qemu_writes(ByteView(stream).subspan(at, std::min<std::size_t>(501, kBeforeDescription - at)));
  }
  // As QEMU does: a description in pieces, with pauses between them, would be taken for none.
  qemu_writes(ByteView(stream).subspan(kBeforeDescription));
  EXPECT_EQ(qemu_reads(), kShut);
  qemu_.reset();
  EXPECT_EQ(stream_->digest(Milliseconds(10'000)), digest_of(stream::sample_stream()));
  EXPECT_EQ(wire_.restored(), stream::sample_stream());
}

TEST_F(OutgoingStreamTest, GoesAsItIsWhileNothingIsToBeMadeSmaller) {
  qemu_writes(ByteView(stream::sample_stream()).first(kBeforeDescription));
  qemu_.reset();
  stream_->digest(Milliseconds(10'000));
  EXPECT_EQ(wire_.restored(), copy_of(ByteView(stream::sample_stream()).first(kBeforeDescription)));
  EXPECT_EQ(wire_.first_method(), reduce::Method::as_it_is);
}

/// Of a stream that ends at any byte, or that cannot be understood, all arrives that was there.
class AnyEnd : public OutgoingStreamTest, public testing::WithParamInterface<Effort> {
 protected:
  void expect_whole(ByteView stream) {
    qemu_writes(stream);
    qemu_.reset();
    ASSERT_EQ(stream_->digest(Milliseconds(10'000)), digest_of(stream)) << stream.size();
    ASSERT_EQ(wire_.restored(), copy_of(stream)) << stream.size();
  }
};

TEST_P(AnyEnd, LosesNothing) {
  const auto whole = stream::sample_stream();
  for (std::size_t size = 1; size < whole.size() - 8; size += size % 4096 < 300 ? 1 : 97) {
    begin(GetParam());
    expect_whole(ByteView(whole).first(size));
  }
}

TEST_P(AnyEnd, OfWhatIsNotUnderstoodLosesNothing) {
  stream::StreamWriter w;
  w.head().configuration("pc-q35-7.2").section_start(2, "something", 3).text(std::string(300'000, 'x'));
  begin(GetParam());
  expect_whole(w.out);
}

INSTANTIATE_TEST_SUITE_P(Efforts, AnyEnd, testing::Values(Effort::none, Effort::light));

TEST_F(OutgoingStreamTest, ArrivesWholeHoweverOftenTheEffortChanges) {
  std::atomic<unsigned> choices = 0;
  constexpr std::array kTurns{Effort::light,  Effort::none,  Effort::strong, Effort::none,
                              Effort::medium, Effort::light, Effort::none};
  choose_ = [&] { return kTurns[choices++ % kTurns.size()]; };
  stream::StreamWriter w;
  w.head().configuration("pc-q35-7.2").section_start(2, "ram", stream::kRamVersion);
  w.number(32 * stream::kPageSize | stream::kRamMemorySize, 8).short_string("pc.ram");
  w.number(32 * stream::kPageSize, 8).end_of_section(2);
  std::size_t written = 0;
  // A prime number of bytes at a time, so that records are cut everywhere.
  const auto write_out = [&] {
    for (; w.out.size() - written > 4099; written += 4099)
      qemu_writes(ByteView(w.out).subspan(written, 4099));
  };
  for (std::uint64_t pass = 0; choices < 2 * kTurns.size(); ++pass) {
    w.section(stream::kSectionPart, 2);
    for (std::uint64_t page = 0; page < 32; ++page) {
      const std::string_view block = page % 7 == 0 ? "pc.ram" : "";
      if (page % 5 == 4)
        w.zero_page(page * stream::kPageSize, block);
      else
        w.page(page * stream::kPageSize, block, static_cast<char>('a' + (page * pass) % 23));
    }
    w.end_of_section(2);
    write_out();
  }
  w.section(stream::kSectionEnd, 2).page(0, "pc.ram", 'z').end_of_section(2).text("devices");
  qemu_writes(ByteView(w.out).subspan(written));
  qemu_.reset();
  EXPECT_EQ(stream_->digest(Milliseconds(20'000)), digest_of(w.out));
  EXPECT_EQ(wire_.restored(), w.out);
}

/// A destination that takes nothing, of a stream that is nothing but zeros: 400 MiB of the guest's memory in
/// less than a megabyte.
class Slow : public OutgoingStreamTest, public testing::WithParamInterface<Effort> {
 protected:
  static constexpr std::uint64_t kZeroPages = 102'400;
  static constexpr std::uint64_t kEverything = std::uint64_t{1} << 40;
  static constexpr std::uint64_t kHeld = std::uint64_t{32} << 20;

  /// `section`: kSectionEnd has the last pages, of a guest that stands still.
  void begin_zeroes(stream::SectionType section) {
    begin(GetParam());
    choose_ = [] { return GetParam(); };
    w_.head().configuration("pc-q35-7.2").section_start(2, "ram", stream::kRamVersion);
    w_.number(kZeroPages * stream::kPageSize | stream::kRamMemorySize, 8).short_string("pc.ram");
    w_.number(kZeroPages * stream::kPageSize, 8).end_of_section(2).section(section, 2);
    for (std::uint64_t page = 0; page < kZeroPages; ++page)
      w_.zero_page(page * stream::kPageSize, page == 0 ? "pc.ram" : "");
    // Two words, and none of them that it has taken anything: this is its rate.
    backlog_->taken(0, MonotonicTime());
    backlog_->taken(0, MonotonicTime() + std::chrono::seconds(1));
    written_ = std::async(std::launch::async, [this] {
      return ::write(qemu_.get(), w_.out.data(), w_.out.size()) == static_cast<ssize_t>(w_.out.size());
    });
  }

  void await_full() const {
    while (backlog_->on_its_way() <= kHeld) std::this_thread::yield();
  }
  bool is_written(std::chrono::milliseconds patience) const {
    return written_.wait_for(patience) == std::future_status::ready;
  }

  stream::StreamWriter w_;
  std::future<bool> written_;
};

TEST_P(Slow, HoldsQemuBackUntilMoreIsTaken) {
  begin_zeroes(stream::kSectionPart);
  await_full();
  EXPECT_FALSE(is_written(std::chrono::milliseconds(300)));
  // What one read can bring, which nobody can foresee, and a batch.
  EXPECT_LE(backlog_->on_its_way(), kHeld + (std::uint64_t{70} << 20));
  const std::jthread destination([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      backlog_->taken(w_.out.size(), std::chrono::steady_clock::now());
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(written_.get());
  qemu_.reset();
  EXPECT_EQ(stream_->digest(Milliseconds(20'000)), digest_of(w_.out));
  EXPECT_EQ(wire_.restored(), w_.out);
}

TEST_P(Slow, HearsOfWhatIsTakenAtOnceAndSaidButOnce) {
  wire_.put = [this] { backlog_->taken(kEverything, std::chrono::steady_clock::now()); };
  begin_zeroes(stream::kSectionPart);
  EXPECT_TRUE(is_written(std::chrono::milliseconds(20'000)));
  stream_->cut_off();
}

TEST_P(Slow, CanBeCutOffMeanwhile) {
  begin_zeroes(stream::kSectionPart);
  await_full();
  stream_->cut_off();
  EXPECT_FALSE(written_.get());
}

TEST_P(Slow, HoldsNothingBackOnceTheGuestStandsStill) {
  begin_zeroes(stream::kSectionEnd);
  EXPECT_TRUE(written_.get());
}

INSTANTIATE_TEST_SUITE_P(Efforts, Slow, testing::Values(Effort::none, Effort::light));

}  // namespace
}  // namespace vmigrate::migration
