#include "migration/batch_receiver.hpp"

#include <algorithm>
#include <utility>

#include "base/thread_name.hpp"
#include "migration/batch_opening.hpp"
#include "reduce/lz4.hpp"

namespace vmigrate::migration {
namespace {

// One that is longer would have been stored.
constexpr std::size_t kLongestLz4 =
    reduce::kHeaderBytes + reduce::most_batch_bytes(reduce::kMostOriginalBytes);

Error amid_batch() {
  return {ErrorCode::failed, "the source has broken off a batch of the VM's memory", ""};
}

/// Moves bytes from the front of `bytes` until `unit` has `size`; whether it has.
bool fill(ByteBuffer& unit, std::size_t size, ByteView& bytes) {
  const auto part = bytes.first(std::min(bytes.size(), size - unit.size()));
  unit.reserve(size);
  unit.insert(unit.end(), part.begin(), part.end());
  bytes = bytes.subspan(part.size());
  return unit.size() == size;
}

}  // namespace

BatchReceiver::~BatchReceiver() {
  lose({ErrorCode::cancelled, "the receiver has gone"});
  if (thread_.joinable()) thread_.join();
}

Result<> BatchReceiver::feed(ByteView bytes) {
  while (!bytes.empty()) {
    if (auto taken = feed_some(bytes); !taken) {
      lose(taken.error());
      return taken;
    }
  }
  return {};
}

Result<> BatchReceiver::feed_some(ByteView& bytes) {
  if (!far_) {
    return fill(head_, kOpeningBytes, bytes) ? open(std::exchange(head_, {})) : Result<>();
  }
  if (frame_left_ == 0) {
    if (!fill(head_, reduce::kHeaderBytes, bytes)) return {};
    const auto frame = reduce::parse_frame_header(std::exchange(head_, {}));
    if (!frame) return fail(frame.error());
    frame_ = *frame;
    frame_left_ = frame->bytes;
    return {};
  }
  const auto part = bytes.first(std::min(bytes.size(), frame_left_));
  bytes = bytes.subspan(part.size());
  frame_left_ -= part.size();
  return take_part_of_frame(part);
}

Result<> BatchReceiver::open(ByteView opening) {
  const auto sizes = parse_opening(opening, budget_);
  if (!sizes) return fail(sizes.error());
  reader_.emplace(sizes->store_pages);
  far_.emplace(sizes->window_log);
  thread_ = std::thread([this] { run(); });
  return {};
}

Result<> BatchReceiver::take_part_of_frame(ByteView part) {
  switch (frame_->method) {
    case reduce::Method::stored: return assemble(part);
    case reduce::Method::lz4: return take_lz4(part);
    case reduce::Method::as_it_is: return pass_on(part);
    case reduce::Method::zstd_far:
    case reduce::Method::zstd_near: break;
  }
  auto& decompressor = frame_->method == reduce::Method::zstd_far ? *far_ : near_;
  return decompressor.unpack(part, [this](ByteView bytes) { return assemble(bytes); });
}

Result<> BatchReceiver::take_lz4(ByteView part) {
  if (frame_->bytes > kLongestLz4) return fail(ErrorCode::failed, "a block of packed memory is too long");
  if (!fill(lz4_, frame_->bytes, part)) return {};
  if (is_amid_batch()) return fail(amid_batch());
  auto batch = unpack(std::exchange(lz4_, {}));
  if (!batch) return fail(batch.error());
  return hand_on(std::move(*batch));
}

Result<BatchReceiver::Batch> BatchReceiver::unpack(ByteView frame) {
  const auto header = reduce::parse_batch_header(frame.first(std::min(frame.size(), reduce::kHeaderBytes)));
  if (!header) return fail(header.error());
  auto bytes = reduce::unpack_lz4(frame.subspan(reduce::kHeaderBytes), header->batch_bytes);
  if (!bytes) return fail(bytes.error());
  return Batch{*header, std::move(*bytes)};
}

/// On this thread, behind all that was in batches.
Result<> BatchReceiver::pass_on(ByteView piece) {
  if (is_amid_batch()) return fail(amid_batch());
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return lost_ || pending_ == 0; });
    if (lost_) return fail(*lost_);
  }
  return sink_(piece);
}

Result<> BatchReceiver::assemble(ByteView bytes) {
  while (!bytes.empty()) {
    if (!batch_) {
      if (!fill(batch_head_, reduce::kHeaderBytes, bytes)) return {};
      const auto header = reduce::parse_batch_header(std::exchange(batch_head_, {}));
      if (!header) return fail(header.error());
      batch_ = Batch{*header, {}};
    }
    if (!fill(batch_->bytes, batch_->header.batch_bytes, bytes)) return {};
    if (auto handed = hand_on(*std::exchange(batch_, std::nullopt)); !handed) return handed;
  }
  return {};
}

Result<> BatchReceiver::hand_on(Batch batch) {
  bool idle = false;
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return fail(*lost_);
    idle = pending_++ == 0;
  }
  // What was not packed costs nothing here but restoring: waking the thread for it would be a loss.
  const bool taken =
      idle && frame_->method == reduce::Method::stored ? restore(batch) : queue_.push(std::move(batch));
  if (taken) return {};
  const std::lock_guard lock(mutex_);
  return fail(*lost_);
}

Result<> BatchReceiver::finish() {
  if (frame_left_ != 0 || batch_ || !head_.empty() || !batch_head_.empty()) {
    return fail(ErrorCode::failed, "the source has ended the VM's memory in the middle of a batch");
  }
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return lost_ || pending_ == 0; });
  if (lost_) return fail(*lost_);
  return {};
}

void BatchReceiver::run() {
  name_this_thread("restore");
  while (const auto batch = queue_.pop()) {
    if (!restore(*batch)) return;
  }
}

bool BatchReceiver::restore(const Batch& batch) {
  if (const auto restored = restore_into_sink(batch); !restored) {
    lose(restored.error());
    return false;
  }
  const std::lock_guard lock(mutex_);
  --pending_;
  done_.notify_all();
  return true;
}

Result<> BatchReceiver::restore_into_sink(const Batch& batch) {
  const auto stream = reader_->restore(batch.bytes, batch.header.original_bytes);
  if (!stream) return fail(stream.error());
  return sink_(*stream);
}

void BatchReceiver::lose(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = why;
  }
  done_.notify_all();
  queue_.close();
}

}  // namespace vmigrate::migration
