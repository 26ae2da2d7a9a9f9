#include "peer/bulk.hpp"

#include <algorithm>
#include <array>

#include "base/thread_name.hpp"
#include "peer/tcp.hpp"

namespace vmigrate::peer {
namespace {

// What lies between the writer and the wire: enough to keep a connection busy while its thread encrypts.
constexpr std::size_t kQueuedBytes = 2 * kLongestBulkChunk;
// What all connections together may have in the kernel that was not sent yet.
constexpr std::size_t kUnsent = 4 * kLongestBulkChunk;
// Bytes that may be held ahead of the next in order, for each connection: what one reads while the other is
// not run, and no more. What a stalled connection makes the others wait for stays in the kernel, and a reader
// that is slow is felt by the sender at once.
constexpr std::size_t kAheadPerConnection = 4 * kLongestBulkChunk;
// What keeping a chunk costs beside its bytes, so that many small ones are held back too.
constexpr std::size_t kChunkCost = 256;
constexpr std::size_t kHead = BulkSender::kHeadRoom;

/// A bulk connection may stall for as long as the receiver's QEMU does; the control connection notices a dead
/// link.
const MonotonicTime kNoDeadline = MonotonicTime::max() - std::chrono::hours(24);

const Error kClosed{ErrorCode::unreachable, "the session is closed", ""};

void put_number(std::byte* to, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i, value >>= 8) to[i] = static_cast<std::byte>(value & 0xff);
}

std::uint64_t take_number(ByteView from) {
  std::uint64_t value = 0;
  for (const std::byte byte : from) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

void put_head(ByteBuffer& chunk, std::uint64_t number, std::size_t bytes) {
  put_number(chunk.data(), number, 8);
  put_number(chunk.data() + 8, bytes, 4);
}

/// Its head, and room for exactly so many bytes.
ByteBuffer begin_chunk(std::uint64_t number, std::size_t bytes) {
  ByteBuffer chunk;
  chunk.reserve(kHead + bytes);
  chunk.resize(kHead);
  put_head(chunk, number, bytes);
  return chunk;
}

}  // namespace

StripedSender::StripedSender(std::vector<TlsStream> connections)
    : connections_(std::move(connections)), queue_(kQueuedBytes) {
  for (auto& connection : connections_) {
    connection.carry_bulk();
    limit_unsent(connection.descriptor(), kUnsent / connections_.size());
    threads_.emplace_back([this, &connection] { run(connection); });
  }
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
  put_head(buffer, next_++, buffer.size() - kHead);
  return queue_chunk(std::move(buffer));
}

Result<> StripedSender::queue_chunk(ByteBuffer chunk) {
  const auto size = chunk.size() - kHead;
  if (!queue_.push(std::move(chunk), size)) {
    const std::lock_guard lock(mutex_);
    return fail(lost_.value_or(kClosed));
  }
  written_ += size;
  return {};
}

Result<> StripedSender::finish() {
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return fail(*lost_);
    total_ = written_;
  }
  queue_.close();
  return {};
}

std::chrono::nanoseconds StripedSender::waited() const {
  std::chrono::nanoseconds sum{};
  for (const auto& connection : connections_) sum += connection.waited();
  return sum / std::max<std::size_t>(connections_.size(), 1);
}

void StripedSender::close() {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = kClosed;
  }
  queue_.close();
  for (auto& connection : connections_) connection.interrupt();
}

void StripedSender::lose(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = why.in("the memory's connection is lost");
  }
  close();
}

void StripedSender::run(TlsStream& connection) {
  name_this_thread("bulk-out");
  if (auto carried = carry_all(connection); !carried) lose(carried.error());
}

Result<> StripedSender::carry_all(TlsStream& connection) {
  while (auto chunk = queue_.pop()) {
    if (auto written = connection.write_all(*chunk, kNoDeadline); !written) return written;
  }
  ByteBuffer end(kHead + sizeof(std::uint64_t));
  {
    const std::lock_guard lock(mutex_);
    if (!total_) return fail(lost_.value_or(kClosed));
    put_number(end.data() + kHead, *total_, 8);
  }
  auto written = connection.write_all(end, kNoDeadline);
  connection.say_goodbye();
  return written;
}

StripedReceiver::StripedReceiver(int connections)
    : most_kept_(static_cast<std::size_t>(connections) * kAheadPerConnection), left_(connections) {
}

StripedReceiver::~StripedReceiver() {
  close();
  for (auto& connection : connections_) connection.thread.join();
}

bool StripedReceiver::join(TlsStream connection) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  auto& joined = connections_.emplace_back(std::move(connection));
  joined.stream.carry_bulk();
  joined.thread = std::thread([this, &joined] { run(joined.stream); });
  return true;
}

Result<ByteBuffer> StripedReceiver::read() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || lost_ || chunks_.contains(next_) || left_ == 0; });
  if (const auto chunk = chunks_.find(next_); chunk != chunks_.end()) {
    ByteBuffer bytes = std::move(chunk->second);
    chunks_.erase(chunk);
    ++next_;
    delivered_ += bytes.size();
    kept_ -= bytes.size() + kChunkCost;
    changed_.notify_all();
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
  for (auto& connection : connections_) connection.stream.interrupt();
  changed_.notify_all();
}

void StripedReceiver::run(TlsStream& connection) {
  name_this_thread("bulk-in");
  Result<bool> going = true;
  while (going && *going) going = receive(connection);
  if (!going) lose(going.error());
}

void StripedReceiver::lose(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!lost_ && !closed_) lost_ = why.in("the memory's connection is lost");
  changed_.notify_all();
}

Result<bool> StripedReceiver::receive(TlsStream& connection) {
  std::array<std::byte, kHead> head{};
  if (auto read = connection.read_exactly(head, kNoDeadline); !read) return fail(read.error());
  const std::uint64_t number = take_number(ByteView(head).first(8));
  const std::uint64_t size = take_number(ByteView(head).subspan(8));
  if (size > kLongestBulkChunk) {
    return fail(ErrorCode::refused, "the peer sent a chunk that is longer than allowed");
  }
  if (size == 0) {
    std::array<std::byte, 8> total{};
    if (auto read = connection.read_exactly(total, kNoDeadline); !read) return fail(read.error());
    if (auto taken = take_end(take_number(total)); !taken) return fail(taken.error());
    return false;
  }
  if (!wait_for_room(number, size)) return fail(kClosed);
  ByteBuffer bytes(size);
  if (auto read = connection.read_exactly(bytes, kNoDeadline); !read) return fail(read.error());
  const std::lock_guard lock(mutex_);
  if (number < next_ || !chunks_.emplace(number, std::move(bytes)).second) {
    return fail(ErrorCode::refused, "the peer sent a chunk twice");
  }
  changed_.notify_all();
  return true;
}

Result<> StripedReceiver::take_end(std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  if (total_.value_or(total) != total)
    return fail(ErrorCode::refused, "the peer gave two lengths for one stream");
  total_ = total;
  --left_;
  changed_.notify_all();
  return {};
}

bool StripedReceiver::wait_for_room(std::uint64_t number, std::size_t size) {
  std::unique_lock lock(mutex_);
  const std::size_t cost = size + kChunkCost;
  changed_.wait(lock, [&] { return closed_ || lost_ || number <= next_ || kept_ + cost <= most_kept_; });
  kept_ += cost;
  return !closed_ && !lost_;
}

}  // namespace vmigrate::peer
