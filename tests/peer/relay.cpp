#include "relay.hpp"

#include <array>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include "sockets.hpp"

namespace vmigrate::peer {
namespace {

constexpr int kBuffer = 16'384;

std::size_t index_of(Relay::Direction direction) {
  return direction == Relay::Direction::to_target ? 0 : 1;
}

}  // namespace

// Small buffers: what the relay has taken counts as arrived for the end that sent it.
Relay::Relay(std::uint16_t target_port)
    : target_port_(target_port), listener_(listen_anywhere(kBuffer)), port_(port_of(listener_)) {
  thread_ = std::thread([this] { run(); });
}

Relay::~Relay() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    for (auto& pair : pairs_) reset(pair);
  }
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
  for (auto& pair : pairs_) {
    for (auto& thread : pair.threads) thread.join();
  }
}

void Relay::stall(Direction direction) {
  const std::lock_guard lock(mutex_);
  stalled_[index_of(direction)] = true;
}

void Relay::stall() {
  stall(Direction::to_target);
  stall(Direction::from_target);
}

void Relay::stall(std::size_t connection) {
  std::unique_lock lock(mutex_);
  await_pair(lock, connection).stalled = true;
}

bool Relay::may_pass(const Pair& pair, Direction direction) const {
  return !pair.stalled && !stalled_[index_of(direction)];
}

void Relay::resume() {
  const std::lock_guard lock(mutex_);
  for (auto& pair : pairs_) pair.stalled = false;
  stalled_[0] = stalled_[1] = false;
  changed_.notify_all();
}

void Relay::cut(std::size_t connection) {
  std::unique_lock lock(mutex_);
  reset(await_pair(lock, connection));
}

void Relay::cut_all() {
  const std::lock_guard lock(mutex_);
  for (auto& pair : pairs_) reset(pair);
}

bool Relay::cut_one(std::uint32_t choice) {
  const std::lock_guard lock(mutex_);
  std::vector<Pair*> living;
  for (auto& pair : pairs_) {
    if (!pair.over[0] && !pair.over[1]) living.push_back(&pair);
  }
  if (living.empty()) return false;
  reset(*living[choice % living.size()]);
  return true;
}

void Relay::corrupt(std::size_t connection, Direction direction) {
  std::unique_lock lock(mutex_);
  await_pair(lock, connection).corrupt[index_of(direction)] = true;
}

void Relay::cut_all_after(std::size_t connection, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  limited_ = connection;
  limit_ = bytes;
}

std::size_t Relay::connections() const {
  const std::lock_guard lock(mutex_);
  return pairs_.size();
}

void Relay::await_passed(std::size_t connection, Direction direction, std::uint64_t bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    if (connection >= pairs_.size()) return false;
    const Pair& pair = pair_at(connection);
    return pair.over[index_of(direction)] || pair.passed[index_of(direction)] >= bytes;
  });
}

std::uint64_t Relay::passed(std::size_t connection, Direction direction) const {
  const std::lock_guard lock(mutex_);
  return std::next(pairs_.begin(), static_cast<std::ptrdiff_t>(connection))->passed[index_of(direction)];
}

Relay::Pair& Relay::pair_at(std::size_t index) {
  return *std::next(pairs_.begin(), static_cast<std::ptrdiff_t>(index));
}

Relay::Pair& Relay::await_pair(std::unique_lock<std::mutex>& lock, std::size_t index) {
  changed_.wait(lock, [&] { return index < pairs_.size(); });
  return pair_at(index);
}

/// The descriptors stay open until the relay's end, for the threads that use them.
void Relay::reset(Pair& pair) {
  ::shutdown(pair.near.get(), SHUT_RDWR);
  ::shutdown(pair.far.get(), SHUT_RDWR);
}

void Relay::run() {
  for (;;) {
    FileDescriptor near(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!near) return;
    FileDescriptor far = connect_to(target_port_);
    if (!far) continue;
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    auto& pair = pairs_.emplace_back();
    pair.near = std::move(near);
    pair.far = std::move(far);
    pair.threads[0] = std::thread([this, &pair] { pump(pair, Direction::to_target); });
    pair.threads[1] = std::thread([this, &pair] { pump(pair, Direction::from_target); });
    changed_.notify_all();
  }
}

void Relay::pump(Pair& pair, Direction direction) {
  const bool to_target = direction == Direction::to_target;
  const auto& from = to_target ? pair.near : pair.far;
  const auto& to = to_target ? pair.far : pair.near;
  std::array<std::byte, kBuffer> chunk;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || may_pass(pair, direction); });
      if (stopping_) return;
    }
    const auto received = ::recv(from.get(), chunk.data(), chunk.size(), 0);
    {
      // Stalled while it waited: what came is held, not lost.
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || may_pass(pair, direction); });
      if (received > 0 && std::exchange(pair.corrupt[index_of(direction)], false))
        chunk[static_cast<std::size_t>(received) / 2] ^= std::byte{1};
    }
    if (received <= 0) break;
    const auto bytes = static_cast<std::size_t>(received);
    if (!send_all(to, ByteView(chunk.data(), bytes))) break;
    count(pair, direction, bytes);
  }
  // One end has said all: the other is told, and may still answer.
  ::shutdown(to.get(), SHUT_WR);
  const std::lock_guard lock(mutex_);
  pair.over[index_of(direction)] = true;
  changed_.notify_all();
}

void Relay::count(Pair& pair, Direction direction, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  pair.passed[index_of(direction)] += bytes;
  changed_.notify_all();
  if (limited_ >= pairs_.size() || pair_at(limited_).passed[0] < limit_) return;
  for (auto& each : pairs_) reset(each);
}

}  // namespace vmigrate::peer
