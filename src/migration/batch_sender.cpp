#include "migration/batch_sender.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/thread_name.hpp"
#include "migration/batch_opening.hpp"
#include "reduce/lz4.hpp"

namespace vmigrate::migration {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How long what the compressor holds back may wait for more to be packed with.
constexpr std::chrono::milliseconds kPatience{2};

std::array<std::byte, reduce::kHeaderBytes> head_of(const reduce::Batch& batch) {
  return reduce::encode(reduce::BatchHeader{static_cast<std::uint32_t>(batch.bytes.size()),
                                            static_cast<std::uint32_t>(batch.original_bytes)});
}

/// Adds how long it lived.
class Stopwatch {
 public:
  Stopwatch(std::mutex& mutex, std::chrono::nanoseconds& sum) : mutex_(mutex), sum_(sum) {}
  ~Stopwatch() {
    const auto elapsed = SteadyClock::now() - begun_;
    const std::lock_guard lock(mutex_);
    sum_ += elapsed;
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  std::mutex& mutex_;
  std::chrono::nanoseconds& sum_;
  SteadyClock::time_point begun_ = SteadyClock::now();
};

}  // namespace

int BatchSender::workers() {
  // The other half is the guests'.
  const auto processors = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(processors / 2, 2, reduce::kMostWorkers);
}

BatchSender::BatchSender(peer::BulkSender& wire, const reduce::Sizes& sizes)
    : wire_(wire),
      far_(reduce::Reach::far, sizes.window_log, workers()),
      near_(reduce::Reach::near, reduce::kNearWindowLog, workers()),
      since_(SteadyClock::now()) {
  // Nothing else is on the wire yet, so this does not wait; a wire that is lost already says so again.
  if (auto opened = wire_.write(encode_opening(sizes)); !opened) lost_ = opened.error();
  thread_ = std::thread([this] { run(); });
}

BatchSender::~BatchSender() {
  lose({ErrorCode::cancelled, "the sender has gone"});
  thread_.join();
}

std::size_t BatchSender::Job::stream_bytes() const {
  return piece.empty() ? batch.original_bytes : piece.size() - kPieceHead;
}

std::size_t BatchSender::Job::bytes() const {
  return piece.empty() ? batch.bytes.size() : piece.size() - kPieceHead;
}

Result<> BatchSender::send(reduce::Batch batch, Effort effort, bool at_once) {
  return take_on({std::move(batch), {}, effort, at_once});
}

Result<> BatchSender::send_as_it_is(ByteBuffer piece) {
  return take_on({{}, std::move(piece)});
}

Result<> BatchSender::take_on(Job job) {
  bool idle = false;
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return fail(*lost_);
    taken_ += job.stream_bytes();
    idle = pending_++ == 0 && !holds_back_;
  }
  // The thread would have nothing to do, and waking it costs more than that.
  const bool by_itself = idle && job.effort == Effort::none;
  const bool taken = by_itself ? work(std::move(job)) : queue_.push(std::move(job));
  if (taken) return {};
  const std::lock_guard lock(mutex_);
  return fail(*lost_);
}

Result<> BatchSender::finish() {
  queue_.close();
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return lost_ || (pending_ == 0 && !holds_back_); });
    if (lost_) return fail(*lost_);
  }
  return wire_.finish();
}

Load BatchSender::take_load() {
  const auto waited = wire_.waited();
  const std::lock_guard lock(mutex_);
  const auto now = SteadyClock::now();
  const double elapsed = std::chrono::duration<double>(now - std::exchange(since_, now)).count();
  const auto share = [&](Nanoseconds time) { return std::chrono::duration<double>(time).count() / elapsed; };
  const auto per_second = [&](std::uint64_t& bytes) {
    return static_cast<double>(std::exchange(bytes, 0)) / elapsed;
  };
  Load load;
  load.network = share(waited - std::exchange(waited_before_, waited));
  load.packing = share(std::exchange(packing_, {}));
  load.putting = share(std::exchange(putting_, {}));
  load.rate = per_second(taken_);
  load.batches = per_second(batched_);
  load.wire = per_second(put_);
  return load;
}

std::uint64_t BatchSender::wire_bytes() const {
  const std::lock_guard lock(mutex_);
  return wire_bytes_;
}

void BatchSender::run() {
  name_this_thread("pack");
  while (auto job = next_job()) {
    if (!work(std::move(*job))) return;
  }
  if (auto flushed = flush(); !flushed) lose(flushed.error());
  done_.notify_all();
}

/// Meanwhile, when nothing comes, what the compressor holds back goes out.
std::optional<BatchSender::Job> BatchSender::next_job() {
  if (holds_back_) {
    if (auto job = queue_.pop_until(SteadyClock::now() + kPatience)) return job;
    if (auto flushed = flush(); !flushed) {
      lose(flushed.error());
      return std::nullopt;
    }
  }
  return queue_.pop();
}

bool BatchSender::work(Job job) {
  const auto bytes = job.bytes();
  if (auto done = do_job(job); !done) {
    lose(done.error());
    return false;
  }
  const std::lock_guard lock(mutex_);
  batched_ += bytes;
  --pending_;
  done_.notify_all();
  return true;
}

Result<> BatchSender::do_job(Job& job) {
  if (job.effort > Effort::light) return pack(job);
  // The receiver takes each batch as soon as it is all there, in their order.
  if (auto flushed = flush(); !flushed) return flushed;
  if (!job.piece.empty()) return pass_on(std::move(job.piece));
  return job.effort == Effort::none ? store(job.batch) : pack_quickly(job.batch);
}

Result<> BatchSender::pass_on(ByteBuffer piece) {
  const auto size = piece.size() - peer::BulkSender::kHeadRoom;
  const auto header = reduce::encode(
      reduce::FrameHeader{reduce::Method::as_it_is, static_cast<std::uint32_t>(size - reduce::kHeaderBytes)});
  std::copy(header.begin(), header.end(), piece.begin() + peer::BulkSender::kHeadRoom);
  const Stopwatch stopwatch(mutex_, putting_);
  if (auto sent = wire_.write_in_place(std::move(piece)); !sent) return sent;
  count(size);
  return {};
}

Result<> BatchSender::store(const reduce::Batch& batch) {
  return put(reduce::Method::stored, head_of(batch), batch.bytes);
}

Result<> BatchSender::pack_quickly(const reduce::Batch& batch) {
  ByteBuffer packed;
  {
    const Stopwatch stopwatch(mutex_, packing_);
    packed = reduce::pack_lz4(batch.bytes);
  }
  if (packed.size() >= batch.bytes.size()) return store(batch);
  return put(reduce::Method::lz4, head_of(batch), packed);
}

Result<> BatchSender::pack(const Job& job) {
  auto& wanted = job.effort == Effort::strong ? far_ : near_;
  if (&wanted != packs_) {
    if (auto flushed = flush(); !flushed) return flushed;
    packs_ = &wanted;
  }
  {
    const Stopwatch stopwatch(mutex_, packing_);
    if (auto packed = packs_->pack(head_of(job.batch), packed_); !packed) return packed;
    if (auto packed = packs_->pack(job.batch.bytes, packed_); !packed) return packed;
  }
  set_holds_back(true);
  return job.at_once ? flush() : put_packed();
}

Result<> BatchSender::flush() {
  if (!holds_back_) return {};
  {
    const Stopwatch stopwatch(mutex_, packing_);
    if (auto flushed = packs_->flush(packed_); !flushed) return flushed;
  }
  auto sent = put_packed();
  set_holds_back(false);
  return sent;
}

Result<> BatchSender::put_packed() {
  if (packed_.empty()) return {};
  auto sent = put(packs_ == &far_ ? reduce::Method::zstd_far : reduce::Method::zstd_near, packed_);
  packed_.clear();
  return sent;
}

Result<> BatchSender::put(reduce::Method method, ByteView bytes, ByteView more) {
  const auto size = bytes.size() + more.size();
  const auto header = reduce::encode(reduce::FrameHeader{method, static_cast<std::uint32_t>(size)});
  const Stopwatch stopwatch(mutex_, putting_);
  if (auto sent = wire_.write_parts({header, bytes, more}); !sent) return sent;
  count(header.size() + size);
  return {};
}

void BatchSender::count(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  wire_bytes_ += bytes;
  put_ += bytes;
}

void BatchSender::set_holds_back(bool held) {
  const std::lock_guard lock(mutex_);
  holds_back_ = held;
}

void BatchSender::lose(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = why;
  }
  done_.notify_all();
  queue_.close();
}

}  // namespace vmigrate::migration
