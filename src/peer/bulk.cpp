#include "peer/bulk.hpp"

#include <algorithm>

#include "base/thread_name.hpp"
#include "peer/bulk_chunk.hpp"

namespace vmigrate::peer {
namespace {

// Bytes that may be held ahead of the next in order, for each connection: what one reads while the other is
// not run, and no more. What a stalled connection makes the others wait for stays in the kernel, and a reader
// that is slow is felt by the sender at once.
constexpr std::size_t kAheadPerConnection = 4 * kLongestBulkChunk;
// What keeping a chunk costs beside its bytes, so that many small ones are held back too.
constexpr std::size_t kChunkCost = 256;
constexpr std::size_t kHead = kChunkHead;

const Error kClosed{ErrorCode::unreachable, "the session is closed", ""};

Error loss_of(const Error& why) {
  auto loss = why.in("the memory's connection is lost");
  loss.code = code_of_loss(why);
  return loss;
}

/// Its head, and room for exactly so many bytes.
ByteBuffer begin_chunk(std::uint64_t number, std::size_t bytes) {
  ByteBuffer chunk;
  chunk.reserve(kHead + bytes);
  chunk.resize(kHead);
  put_head(chunk.data(), number, bytes);
  return chunk;
}

}  // namespace

StripedSender::StripedSender(std::shared_ptr<Reconnector> reconnector, int connections, Patience patience)
    : reconnector_(std::move(reconnector)), bound_(std::chrono::steady_clock::now()), queue_(0) {
  for (int number = 1; number <= connections; ++number) {
    outlets_.emplace_back(
        number, BulkOutlet::Terms{*reconnector_, queue_, [this] { return total(); }, patience, unsent_,
                                  [this, number] { return left_of_sisters(number); }});
  }
  keep_to_bound();
  // Only now: one that is lost at once closes all of them.
  for (auto& outlet : outlets_) threads_.emplace_back([this, &outlet] { run(outlet); });
}

StripedSender::~StripedSender() {
  close();
  for (auto& thread : threads_) thread.join();
}

Result<> StripedSender::write_parts(Parts parts) {
  std::size_t left = 0;
  for (const auto part : parts) left += part.size();
  std::size_t room = 0;
  ByteBuffer chunk;
  for (auto part : parts) {
    while (!part.empty()) {
      if (room == 0) {
        room = std::min(left, kLongestBulkChunk);
        chunk = begin_chunk(next_++, room);
        left -= room;
      }
      const auto taken = part.first(std::min(part.size(), room));
      part = part.subspan(taken.size());
      room -= taken.size();
      chunk.insert(chunk.end(), taken.begin(), taken.end());
      if (room > 0) continue;
      if (auto queued = queue_chunk(std::move(chunk)); !queued) return queued;
    }
  }
  return {};
}

Result<> StripedSender::write_in_place(ByteBuffer buffer) {
  // Empty would be the connection's end.
  if (buffer.size() == kHead) return {};
  put_head(buffer.data(), next_++, buffer.size() - kHead);
  return queue_chunk(std::move(buffer));
}

Result<> StripedSender::queue_chunk(ByteBuffer chunk) {
  const auto size = chunk.size() - kHead;
  if (!queue_.push(std::move(chunk), size)) {
    const std::lock_guard lock(mutex_);
    return fail(lost_.value_or(kClosed));
  }
  written_ += size;
  if (bound_.gone(written_ - queue_.used(), std::chrono::steady_clock::now())) keep_to_bound();
  return {};
}

/// Twice the time in which what may lie before the wire passes: the bound, and a chunk in each thread.
std::chrono::nanoseconds StripedSender::overdue_after() const {
  const auto more = static_cast<double>(outlets_.size() * kLongestBulkChunk);
  const auto time = bound_.time() * (1 + more / static_cast<double>(bound_.bytes()));
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time) * 2;
}

/// Once there are no more chunks.
Left StripedSender::left_of_sisters(int number) {
  std::chrono::nanoseconds overdue_after{};
  {
    const std::lock_guard lock(mutex_);
    overdue_after = overdue_after_;
  }
  bool more = false;
  for (auto& outlet : outlets_) {
    if (outlet.number() == number) continue;
    auto left = outlet.left(overdue_after);
    if (left.overdue) return left;
    more = more || left.more;
  }
  return {std::nullopt, more};
}

/// A third of it here, the rest in the kernel, which asks for more when half of that has gone.
void StripedSender::keep_to_bound() {
  queue_.set_capacity(bound_.bytes() / 3);
  unsent_ = bound_.bytes() / 3 * 2 / outlets_.size();
}

Result<> StripedSender::finish() {
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return fail(*lost_);
    total_ = written_;
    overdue_after_ = overdue_after();
  }
  queue_.close();
  return {};
}

std::chrono::nanoseconds StripedSender::waited() const {
  std::chrono::nanoseconds sum{};
  for (const auto& outlet : outlets_) sum += outlet.waited();
  return sum / std::max<std::size_t>(outlets_.size(), 1);
}

void StripedSender::close() {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = kClosed;
  }
  queue_.close();
  for (auto& outlet : outlets_) outlet.interrupt();
}

std::optional<std::uint64_t> StripedSender::total() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

void StripedSender::lose(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = loss_of(why);
  }
  close();
}

void StripedSender::run(BulkOutlet& outlet) {
  name_this_thread("bulk-out");
  if (auto carried = outlet.run(); !carried) lose(carried.error());
}

StripedReceiver::StripedReceiver(std::shared_ptr<Reception> reception, Patience patience)
    : reception_(std::move(reception)),
      most_kept_(static_cast<std::size_t>(reception_->bulk_connections()) * kAheadPerConnection),
      left_(reception_->bulk_connections()) {
  for (int number = 1; number <= reception_->bulk_connections(); ++number)
    lines_.push_back({std::make_unique<BulkInlet>(number, terms(patience)), {}});
  for (int number = 1; number <= reception_->bulk_connections(); ++number)
    reception_->attach(number, [this, number] { on_arrival(number); });
}

StripedReceiver::~StripedReceiver() {
  for (int number = 1; number <= reception_->bulk_connections(); ++number) reception_->detach(number);
  reception_->close();
  close();
  for (auto& line : lines_) {
    if (line.thread.joinable()) line.thread.join();
  }
}

BulkInlet::Terms StripedReceiver::terms(Patience patience) {
  return {*reception_,
          patience,
          [this](std::uint64_t number, std::size_t size, MonotonicTime until) {
            return make_room(number, size, until);
          },
          [this](std::size_t size) { give_back(size); },
          [this](std::uint64_t number, ByteBuffer bytes) { take_chunk(number, std::move(bytes)); },
          [this](std::uint64_t total) { return take_end(total); }};
}

void StripedReceiver::on_arrival(int connection) {
  const std::lock_guard lock(mutex_);
  auto& line = lines_.at(static_cast<std::size_t>(connection) - 1);
  if (closed_) return;
  if (line.thread.joinable())
    line.inlet->interrupt();
  else
    line.thread = std::thread([this, &inlet = *line.inlet] { run(inlet); });
}

Result<ByteBuffer> StripedReceiver::read() {
  std::unique_lock lock(mutex_);
  next_is_there_.wait(lock, [this] { return closed_ || lost_ || chunks_.contains(next_) || left_ == 0; });
  if (const auto chunk = chunks_.find(next_); chunk != chunks_.end()) {
    ByteBuffer bytes = std::move(chunk->second);
    chunks_.erase(chunk);
    ++next_;
    delivered_ += bytes.size();
    make_free(bytes.size() + kChunkCost);
    return bytes;
  }
  if (lost_) return fail(*lost_);
  if (left_ == 0 && chunks_.empty() && delivered_ == total_) return ByteBuffer{};
  if (left_ == 0) return fail(ErrorCode::refused, "the memory's stream ended with something missing");
  return fail(kClosed);
}

void StripedReceiver::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (auto& line : lines_) line.inlet->interrupt();
  wake_all();
}

void StripedReceiver::run(BulkInlet& inlet) {
  name_this_thread("bulk-in");
  if (auto received = inlet.run(); !received) lose(received.error());
}

void StripedReceiver::lose(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!lost_ && !closed_) lost_ = loss_of(why);
  wake_all();
}

void StripedReceiver::wake_all() {
  next_is_there_.notify_all();
  room_is_there_.notify_all();
}

void StripedReceiver::take_chunk(std::uint64_t number, ByteBuffer bytes) {
  const std::lock_guard lock(mutex_);
  const auto cost = bytes.size() + kChunkCost;
  if (number < next_ || !chunks_.try_emplace(number, std::move(bytes)).second) {
    // It came over another connection as well.
    return make_free(cost);
  }
  if (number == next_) next_is_there_.notify_one();
}

Result<> StripedReceiver::take_end(std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  if (total_.value_or(total) != total)
    return fail(ErrorCode::refused, "the peer gave two lengths for one stream");
  total_ = total;
  --left_;
  next_is_there_.notify_one();
  return {};
}

Result<bool> StripedReceiver::make_room(std::uint64_t number, std::size_t size, MonotonicTime until) {
  std::unique_lock lock(mutex_);
  const std::size_t cost = size + kChunkCost;
  const bool settled = room_is_there_.wait_until(
      lock, until, [&] { return closed_ || lost_ || number <= next_ || kept_ + cost <= most_kept_; });
  if (closed_ || lost_) return fail(kClosed);
  if (settled) kept_ += cost;
  return settled;
}

void StripedReceiver::give_back(std::size_t size) {
  const std::lock_guard lock(mutex_);
  make_free(size + kChunkCost);
}

/// With the lock held.
void StripedReceiver::make_free(std::size_t cost) {
  kept_ -= cost;
  room_is_there_.notify_all();
}

}  // namespace vmigrate::peer
