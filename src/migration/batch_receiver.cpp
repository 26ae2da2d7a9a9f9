#include "migration/batch_receiver.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/thread_name.hpp"
#include "migration/batch_opening.hpp"

namespace vmigrate::migration {

BatchReceiver::~BatchReceiver() {
  lose({ErrorCode::cancelled, "the receiver has gone"});
  for (auto& worker : workers_) worker->thread.join();
}

Result<> BatchReceiver::feed(ByteView bytes) {
  while (!bytes.empty()) {
    if (unit_size_ == 0) unit_size_ = kOpeningBytes;
    const auto part = bytes.first(std::min(bytes.size(), unit_size_ - unit_.size()));
    unit_.reserve(unit_size_);
    unit_.insert(unit_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    if (unit_.size() < unit_size_) return {};
    if (auto taken = take_unit(); !taken) {
      lose(taken.error());
      return taken;
    }
  }
  return {};
}

Result<> BatchReceiver::take_unit() {
  if (!reader_) return open();
  if (!header_) {
    auto header = reduce::parse_frame_header(unit_, workers_.size());
    if (!header) return fail(header.error());
    header_ = *header;
    unit_.clear();
    unit_size_ = header->packed_bytes;
    return unit_size_ > 0 ? Result<>() : take_unit();
  }
  Job job{submitted_, *std::exchange(header_, std::nullopt), std::exchange(unit_, {})};
  unit_size_ = reduce::kFrameHeaderBytes;
  if (job.header.track != submitted_ % workers_.size()) {
    return fail(ErrorCode::failed, "the source has sent a batch out of its track's turn");
  }
  ++submitted_;
  auto& worker = *workers_[job.header.track];
  // A worker would have nothing to do, and waking it costs more than that.
  const bool taken = job.header.method == reduce::Method::stored && is_first(job.number)
                         ? unpack(worker, job)
                         : worker.queue.push(std::move(job));
  if (taken) return {};
  const std::lock_guard lock(mutex_);
  return fail(*lost_);
}

Result<> BatchReceiver::open() {
  const auto sizes = parse_opening(unit_, budget_);
  if (!sizes) return fail(sizes.error());
  reader_.emplace(sizes->store_pages);
  for (std::size_t track = 0; track < sizes->tracks; ++track) {
    workers_.push_back(std::make_unique<Worker>(sizes->window_log));
  }
  for (std::size_t track = 0; track < sizes->tracks; ++track) {
    auto& worker = *workers_[track];
    worker.thread = std::thread([this, &worker, track] { run(worker, track); });
  }
  unit_.clear();
  unit_size_ = reduce::kFrameHeaderBytes;
  return {};
}

Result<> BatchReceiver::finish() {
  if (header_ || !unit_.empty()) {
    return fail(ErrorCode::failed, "the source has ended the VM's memory in the middle of a batch");
  }
  std::unique_lock lock(mutex_);
  turn_.wait(lock, [&] { return lost_ || next_ == submitted_; });
  if (lost_) return fail(*lost_);
  return {};
}

void BatchReceiver::run(Worker& worker, std::size_t track) {
  name_this_thread(fmt::format("unpack-{}", track));
  while (auto job = worker.queue.pop()) {
    if (!unpack(worker, *job)) return;
  }
}

bool BatchReceiver::unpack(Worker& worker, Job& job) {
  const auto batch = job.header.method == reduce::Method::stored
                         ? Result<ByteBuffer>(std::move(job.packed))
                         : worker.decompressor.unpack(job.header.method, job.packed, job.header.batch_bytes);
  return hand_on(job, batch);
}

bool BatchReceiver::is_first(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  return next_ == number;
}

bool BatchReceiver::hand_on(const Job& job, const Result<ByteBuffer>& batch) {
  {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return lost_ || next_ == job.number; });
    if (lost_) return false;
  }
  if (auto restored = restore(job, batch); !restored) {
    lose(restored.error());
    return false;
  }
  const std::lock_guard lock(mutex_);
  ++next_;
  turn_.notify_all();
  return true;
}

Result<> BatchReceiver::restore(const Job& job, const Result<ByteBuffer>& batch) {
  if (!batch) return fail(batch.error());
  const auto stream = reader_->restore(*batch, job.header.original_bytes);
  if (!stream) return fail(stream.error());
  return sink_(*stream);
}

void BatchReceiver::lose(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = why;
  }
  turn_.notify_all();
  for (auto& worker : workers_) worker->queue.close();
}

}  // namespace vmigrate::migration
