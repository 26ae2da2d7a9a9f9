#include "migration/batch_sender.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/thread_name.hpp"
#include "migration/batch_opening.hpp"

namespace vmigrate::migration {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr double kShortest = 1e-6;  // seconds

reduce::Method method_for(Effort effort) {
  if (effort == Effort::none) return reduce::Method::stored;
  return effort == Effort::light ? reduce::Method::lz4 : reduce::Method::zstd;
}

int level_for(Effort effort) {
  constexpr int medium = 1;
  constexpr int strong = 3;
  return effort == Effort::strong ? strong : medium;
}

}  // namespace

BatchSender::BatchSender(peer::BulkSender& wire, const reduce::Sizes& sizes)
    : wire_(wire), since_(SteadyClock::now()) {
  for (std::size_t track = 0; track < sizes.tracks; ++track)
    workers_.push_back(std::make_unique<Worker>(sizes.window_log));
  // Nothing else is on the wire yet, so this does not wait; a wire that is lost already says so again.
  if (auto opened = wire_.write(encode_opening(sizes)); !opened) lost_ = opened.error();
  for (std::size_t track = 0; track < sizes.tracks; ++track) {
    auto& worker = *workers_[track];
    worker.thread = std::thread([this, &worker, track] { run(worker, track); });
  }
}

BatchSender::~BatchSender() {
  lose({ErrorCode::cancelled, "the sender has gone"});
  for (auto& worker : workers_) worker->thread.join();
}

Result<> BatchSender::send(reduce::Batch batch, Effort effort) {
  Job job{0, std::move(batch), effort};
  bool first = false;  // of those that are not on the wire yet
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return fail(*lost_);
    first = next_ == submitted_;
    job.number = submitted_++;
    taken_ += job.batch.original_bytes;
  }
  const auto track = job.number % workers_.size();
  auto& worker = *workers_[track];
  // A worker would have nothing to do, and waking it costs more than that.
  const bool taken = first && effort == Effort::none
                         ? put(job.number, pack(worker.compressor, track, std::move(job)))
                         : worker.queue.push(std::move(job));
  if (taken) return {};
  const std::lock_guard lock(mutex_);
  return fail(*lost_);
}

Result<> BatchSender::finish() {
  {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return lost_ || next_ == submitted_; });
    if (lost_) return fail(*lost_);
  }
  return wire_.finish();
}

Load BatchSender::take_load() {
  const std::lock_guard lock(mutex_);
  const auto now = SteadyClock::now();
  const double elapsed = std::chrono::duration<double>(now - std::exchange(since_, now)).count();
  const auto share = [&](Nanoseconds& busy) {
    return std::chrono::duration<double>(std::exchange(busy, {})).count() / elapsed;
  };
  Load load;
  const double at_wire = std::chrono::duration<double>(at_wire_).count();
  load.wire_speed = static_cast<double>(std::exchange(put_, 0)) / std::max(at_wire, kShortest);
  load.wire = share(at_wire_);
  load.workers = share(at_work_) / static_cast<double>(workers_.size());
  load.rate = static_cast<double>(std::exchange(taken_, 0)) / elapsed;
  return load;
}

std::uint64_t BatchSender::wire_bytes() const {
  const std::lock_guard lock(mutex_);
  return wire_bytes_;
}

void BatchSender::run(Worker& worker, std::size_t track) {
  name_this_thread(fmt::format("pack-{}", track));
  while (auto job = worker.queue.pop()) {
    const auto number = job->number;
    const auto begun = SteadyClock::now();
    const auto frame = pack(worker.compressor, track, std::move(*job));
    {
      const std::lock_guard lock(mutex_);
      at_work_ += SteadyClock::now() - begun;
    }
    if (!put(number, frame)) return;
  }
}

Result<BatchSender::Frame> BatchSender::pack(reduce::Compressor& compressor, std::size_t track, Job job) {
  const auto batch_bytes = job.batch.bytes.size();
  reduce::Packed packed{reduce::Method::stored, {}};
  if (const auto method = method_for(job.effort); method == reduce::Method::stored) {
    packed.bytes = std::move(job.batch.bytes);
  } else {
    compressor.set_level(level_for(job.effort));
    auto done = compressor.pack(method, job.batch.bytes);
    if (!done) return fail(done.error());
    packed = std::move(*done);
  }
  const reduce::FrameHeader header{
      packed.method, static_cast<std::uint8_t>(track), static_cast<std::uint32_t>(packed.bytes.size()),
      static_cast<std::uint32_t>(batch_bytes), static_cast<std::uint32_t>(job.batch.original_bytes)};
  return Frame{encode(header), std::move(packed.bytes)};
}

bool BatchSender::put(std::uint64_t number, const Result<Frame>& frame) {
  {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return lost_ || next_ == number; });
    if (lost_) return false;
  }
  const auto begun = SteadyClock::now();
  if (const auto sent = write(frame); !sent) {
    lose(sent.error());
    return false;
  }
  const std::lock_guard lock(mutex_);
  at_wire_ += SteadyClock::now() - begun;
  wire_bytes_ += frame->header.size() + frame->packed.size();
  put_ += frame->packed.size();
  ++next_;
  turn_.notify_all();
  return true;
}

Result<> BatchSender::write(const Result<Frame>& frame) {
  if (!frame) return fail(frame.error());
  if (auto sent = wire_.write(frame->header); !sent) return sent;
  return wire_.write(frame->packed);
}

void BatchSender::lose(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = why;
  }
  turn_.notify_all();
  for (auto& worker : workers_) worker->queue.close();
}

}  // namespace vmigrate::migration
