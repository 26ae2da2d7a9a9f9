#include "migration/outgoing_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::migration {
namespace {

// Large enough to amortise a system call and a frame, small beside what 50 ms of any wire holds. As long as
// less is there, there is room for what one more read brings.
constexpr std::size_t kEnoughReady = BatchSender::kMostPiece / 2;
// Batches of what passes in about 10 ms: some of them lie between QEMU and the wire.
constexpr std::size_t kSmallestBatch = std::size_t{64} * 1024;
constexpr std::size_t kLargestBatch = reduce::kUsualBatch - BatchSender::kMostPiece;
constexpr std::size_t kLastBatches = std::size_t{256} * 1024;
constexpr double kBatchSeconds = 0.01;
// Of the guest's memory, after which a batch or piece is sent. Pages of zeros take so little of the stream
// that one read of kZeroes is as much of them.
constexpr std::uint64_t kMostOfGuest = std::uint64_t{8} << 20;
constexpr std::size_t kZeroes = std::size_t{16} * 1024;
// Of the guest's memory: one for what is not zero, 455 for what is.
constexpr std::uint64_t kZeroesPerByte = 64;
constexpr std::chrono::milliseconds kEffortInterval{100};
// A wire that is slow is so from the beginning on, and what it takes until that is seen goes as it is.
constexpr std::chrono::milliseconds kFirstEffort{50};
// A QEMU that says nothing for so long may be waiting for what the destination says to what it has said.
constexpr int kQuiet = 2;  // milliseconds
// What looks like the beginning of the stream's last part is held back until the rest is there, which QEMU
// writes in one go.
constexpr int kLongestHold = 100;  // milliseconds

std::size_t batch_size(double bytes_per_second) {
  return std::clamp(static_cast<std::size_t>(bytes_per_second * kBatchSeconds), kSmallestBatch,
                    kLargestBatch);
}

}  // namespace

void OutgoingStream::Splitter::opaque(ByteView bytes) {
  if (!ram_ended()) {
    if (!as_it_is) writer.opaque(bytes);
    return;
  }
  tail_size += bytes.size();
  const auto before = tail.size();
  filter.feed(bytes, tail);
  writer.opaque(ByteView(tail).subspan(before));
}

void OutgoingStream::Splitter::block_table(const std::vector<stream::RamBlock>& blocks) {
  writer.block_table(blocks);
}

void OutgoingStream::Splitter::page(const stream::PagePlace& place, ByteView content) {
  StreamStatistics::page(place, content);
  if (as_it_is)
    writer.went_as_it_is(place);
  else
    writer.page(place, content);
}

void OutgoingStream::Splitter::zero_page(const stream::PagePlace& place, std::byte fill) {
  StreamStatistics::zero_page(place, fill);
  if (as_it_is)
    writer.went_as_it_is(place);
  else
    writer.zero_page(place, fill);
}

OutgoingStream::OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, const reduce::Sizes& sizes,
                               std::shared_ptr<Backlog> backlog, Events events)
    : OutgoingStream(std::move(qemu), wire, sizes, std::move(backlog), std::move(events), Effort::none,
                     [chooser = EffortChooser(BatchSender::workers())](
                         const Load& load, MonotonicTime now) mutable { return chooser.update(load, now); }) {
}

OutgoingStream::OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, const reduce::Sizes& sizes,
                               std::shared_ptr<Backlog> backlog, Events events, Effort effort,
                               ChooseEffort choose_effort)
    : qemu_(std::move(qemu)),
      backlog_(std::move(backlog)),
      events_(std::move(events)),
      splitter_(sizes.store_pages),
      sender_(wire, sizes),
      choose_effort_(std::move(choose_effort)),
      effort_(effort),
      effort_chosen_(std::chrono::steady_clock::now() - (kEffortInterval - kFirstEffort)),
      batch_size_(kSmallestBatch) {
  choose_way();
  thread_ = std::jthread([this] { pump(); });
}

OutgoingStream::~OutgoingStream() {
  cut_off();
  thread_.join();
}

void OutgoingStream::cut_off() {
  ::shutdown(qemu_.get(), SHUT_RDWR);
  backlog_->let_go();
}

void OutgoingStream::deliver_return(ByteView bytes) {
  const std::lock_guard lock(return_mutex_);
  if (!answered_) write_return(bytes);
}

void OutgoingStream::write_return(ByteView bytes) {
  // QEMU reads its return path all the time and it is a few bytes a second. If there is no room, the
  // destination has sent what makes no sense; a QEMU that is gone is noticed by the hypervisor.
  while (!bytes.empty()) {
    const ssize_t count = ::send(qemu_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) cut_off();
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void OutgoingStream::answer_for_destination() {
  constexpr std::array shut{std::byte{0}, std::byte{1}, std::byte{0}, std::byte{4},
                            std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
  const std::lock_guard lock(return_mutex_);
  if (!std::exchange(answered_, true)) write_return(shut);
}

StreamDigest OutgoingStream::digest(Milliseconds patience) const {
  std::unique_lock lock(mutex_);
  ended_changed_.wait_for(lock, patience, [&] { return ended_; });
  return digester_.digest();
}

OutgoingStream::Counters OutgoingStream::counters() const {
  const std::lock_guard lock(mutex_);
  return {sender_.wire_bytes(), splitter_.guest_bytes(), splitter_.passes(), network_};
}

void OutgoingStream::pump() {
  name_this_thread("ram-out");
  const auto carried = carry_all();
  // QEMU must learn that nobody reads any more.
  ::shutdown(qemu_.get(), SHUT_RDWR);
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_all();
  if (!carried) events_.wire_failed(carried.error());
}

Result<> OutgoingStream::carry_all() {
  for (;;) {
    if (!await_bytes()) {
      release_tail();
      if (auto flushed = flush(); !flushed) return flushed;
      continue;
    }
    backlog_->wait_for_room();
    const auto to = room();
    const ssize_t count = ::read(qemu_.get(), to.data(), to.size());
    if (count < 0 && errno == EINTR) continue;
    // How QEMU's part went is for the hypervisor to say: it knows more than a closed socket does.
    if (count <= 0) break;
    if (auto sent = carry(static_cast<std::size_t>(count)); !sent) return sent;
  }
  decoder_.finish(splitter_);
  ready_ = read_;
  release_tail();
  if (auto flushed = flush(); !flushed) return flushed;
  return sender_.finish();
}

bool OutgoingStream::await_bytes() const {
  int patience = -1;
  if (splitter_.filter.is_holding())
    patience = kLongestHold;
  else if (ready_ > 0 || splitter_.writer.original_bytes() > 0)
    patience = kQuiet;
  pollfd wanted{qemu_.get(), POLLIN, 0};
  return ::poll(&wanted, 1, patience) != 0;
}

/// For what is read next.
std::span<std::byte> OutgoingStream::room() {
  const auto all = std::span(buffer_).subspan(BatchSender::kPieceHead + read_);
  return sees_zeroes_ ? all.first(std::min(all.size(), kZeroes)) : all;
}

Result<> OutgoingStream::carry(std::size_t count) {
  const auto before = splitter_.guest_bytes();
  feed(ByteView(buffer_).subspan(BatchSender::kPieceHead + read_, count));
  sees_zeroes_ = (splitter_.guest_bytes() - before) / count > kZeroesPerByte;
  if (splitter_.passes() > std::exchange(passes_seen_, splitter_.passes())) events_.pass_begun(passes_seen_);
  if (splitter_.vcpus_stopped() && !std::exchange(stop_seen_, true)) {
    // The destination works on the beginning of the last pages while their end is still being packed.
    batch_size_ = std::min(batch_size_, kLastBatches);
    backlog_->let_go();
    events_.vcpus_stopped();
  }
  const bool complete = splitter_.filter.is_complete();
  if (complete || has_enough()) {
    if (auto flushed = flush(); !flushed) return flushed;
  }
  if (complete) answer_for_destination();
  return {};
}

bool OutgoingStream::has_enough() const {
  if (splitter_.guest_bytes() - guest_sent_ >= kMostOfGuest) return true;
  if (splitter_.as_it_is) return ready_ >= kEnoughReady || splitter_.ram_ended();
  return splitter_.writer.original_bytes() >= batch_size_;
}

void OutgoingStream::feed(ByteView bytes) {
  const std::lock_guard lock(mutex_);
  decoder_.feed(bytes, splitter_);
  const auto tail_size = std::exchange(splitter_.tail_size, 0);
  digester_.update(bytes.first(bytes.size() - tail_size));
  digester_.update(std::exchange(splitter_.tail, {}));
  if (!splitter_.as_it_is) return;
  read_ += bytes.size();
  ready_ = read_ - decoder_.held().size() - tail_size;
}

void OutgoingStream::release_tail() {
  const std::lock_guard lock(mutex_);
  ByteBuffer released;
  splitter_.filter.release(released);
  splitter_.writer.opaque(released);
  digester_.update(released);
}

Result<> OutgoingStream::flush() {
  // Before it is sent: the destination says only once that it has taken it, and may be quick.
  note_sent();
  if (auto flushed = flush_as_it_is(); !flushed) return flushed;
  if (auto flushed = flush_batch(); !flushed) return flushed;
  choose_way();
  return {};
}

void OutgoingStream::note_sent() {
  guest_sent_ = splitter_.guest_bytes();
  backlog_->sent(digester_.count() - decoder_.held().size(), guest_sent_);
}

Result<> OutgoingStream::flush_as_it_is() {
  if (ready_ == 0) return {};
  const auto size = BatchSender::kPieceHead + std::exchange(ready_, 0);
  // One that is small would take the whole buffer's memory with it into the queues.
  auto piece =
      size < buffer_.size() / 4 ? copy_of(ByteView(buffer_).first(size)) : std::exchange(buffer_, {});
  piece.resize(size);
  if (auto sent = sender_.send_as_it_is(std::move(piece)); !sent) return sent;
  if (!stop_seen_) adapt_effort();
  return {};
}

Result<> OutgoingStream::flush_batch() {
  if (splitter_.writer.original_bytes() == 0) return {};
  // Behind the last byte nothing comes to be packed with, and behind zeros nothing for a while.
  const bool at_once = sees_zeroes_ || splitter_.filter.is_complete();
  if (auto sent = sender_.send(splitter_.writer.take(), effort_, at_once); !sent) return sent;
  if (!stop_seen_) adapt_effort();
  return {};
}

/// What comes behind all that was sent, by the writer or past it.
void OutgoingStream::choose_way() {
  splitter_.as_it_is = effort_ == Effort::none && !splitter_.ram_ended();
  buffer_.resize(BatchSender::kPieceHead + BatchSender::kMostPiece);
  const auto begun = splitter_.as_it_is ? decoder_.held() : ByteView();
  std::copy(begun.begin(), begun.end(), buffer_.begin() + BatchSender::kPieceHead);
  read_ = begun.size();
}

void OutgoingStream::adapt_effort() {
  const auto now = std::chrono::steady_clock::now();
  if (now - effort_chosen_ < kEffortInterval) return;
  const auto waited = backlog_->waited();
  const double held_back =
      std::chrono::duration<double>(waited - std::exchange(held_back_, waited)) / (now - effort_chosen_);
  effort_chosen_ = now;
  const auto load = sender_.take_load();
  effort_ = choose_effort_(load, now);
  spdlog::debug(
      "waited {:.0f} % for the network, {:.0f} % for the destination, packed {:.0f} %, {:.0f} MB/s, "
      "{:.0f} on the wire, {} of the guest on their way: effort {}",
      load.network * 100, held_back * 100, load.packing * 100, load.rate / 1e6, load.wire / 1e6,
      vmigrate::to_string(Bytes{backlog_->on_its_way()}), static_cast<int>(effort_));
  {
    const std::lock_guard lock(mutex_);
    network_ = std::min(1.0, load.network + held_back);
  }
  batch_size_ = batch_size(load.rate);
}

}  // namespace vmigrate::migration
