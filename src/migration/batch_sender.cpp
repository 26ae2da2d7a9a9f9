#include "migration/batch_sender.hpp"

#include <algorithm>
#include <utility>

#include "base/thread_name.hpp"
#include "migration/batch_opening.hpp"
#include "reduce/frame_header.hpp"

namespace vmigrate::migration {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How long what the compressor holds back may wait for more to be packed with.
constexpr std::chrono::milliseconds kPatience{2};

// Of a Debian guest's memory they make 2.6, 3.3 and 3.6 times less, at 370, 270 and 180 MB/s of one
// processor; level 5 would cost three times as much for three per cent.
int level_for(Effort effort) {
  switch (effort) {
    case Effort::none:
    case Effort::light: return -3;
    case Effort::medium:
    case Effort::strong: return 1;
  }
  return 1;
}

int workers_here() {
  // The other half is the guests'.
  const auto processors = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(processors / 2, 2, reduce::kMostWorkers);
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

BatchSender::BatchSender(peer::BulkSender& wire, const reduce::Sizes& sizes)
    : wire_(wire),
      far_(reduce::Reach::far, sizes.window_log, workers_here()),
      near_(reduce::Reach::near, reduce::kNearWindowLog, workers_here()),
      since_(SteadyClock::now()) {
  // Nothing else is on the wire yet, so this does not wait; a wire that is lost already says so again.
  if (auto opened = wire_.write(encode_opening(sizes)); !opened) lost_ = opened.error();
  thread_ = std::thread([this] { run(); });
}

BatchSender::~BatchSender() {
  lose({ErrorCode::cancelled, "the sender has gone"});
  thread_.join();
}

Result<> BatchSender::send(reduce::Batch batch, Effort effort, bool at_once) {
  bool idle = false;
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return fail(*lost_);
    taken_ += batch.original_bytes;
    idle = pending_++ == 0 && !holds_back_;
  }
  Job job{std::move(batch), effort, at_once};
  // The thread would have nothing to do, and waking it costs more than that.
  const bool taken = idle && effort == Effort::none ? work(job) : queue_.push(std::move(job));
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
    if (!work(*job)) return;
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

bool BatchSender::work(const Job& job) {
  if (auto done = job.effort == Effort::none ? store(job.batch) : pack(job); !done) {
    lose(done.error());
    return false;
  }
  const std::lock_guard lock(mutex_);
  batched_ += job.batch.bytes.size();
  --pending_;
  done_.notify_all();
  return true;
}

Result<> BatchSender::store(const reduce::Batch& batch) {
  if (auto flushed = flush(); !flushed) return flushed;
  const auto header = reduce::encode(reduce::BatchHeader{static_cast<std::uint32_t>(batch.bytes.size()),
                                                         static_cast<std::uint32_t>(batch.original_bytes)});
  return put(reduce::Method::stored, header, batch.bytes);
}

Result<> BatchSender::pack(const Job& job) {
  const auto header =
      reduce::encode(reduce::BatchHeader{static_cast<std::uint32_t>(job.batch.bytes.size()),
                                         static_cast<std::uint32_t>(job.batch.original_bytes)});
  auto& wanted = job.effort == Effort::strong ? far_ : near_;
  if (&wanted != packs_) {
    if (auto flushed = flush(); !flushed) return flushed;
    packs_ = &wanted;
  }
  {
    const Stopwatch stopwatch(mutex_, packing_);
    packs_->set_level(level_for(job.effort));
    if (auto packed = packs_->pack(header, packed_); !packed) return packed;
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
  const std::lock_guard lock(mutex_);
  wire_bytes_ += header.size() + size;
  put_ += header.size() + size;
  return {};
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
