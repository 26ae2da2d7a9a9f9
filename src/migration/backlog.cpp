#include "migration/backlog.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace vmigrate::migration {
namespace {

// What may always be on its way: as much as the queues and zstd's workers hold of memory that is not zero.
constexpr std::uint64_t kLeast = std::uint64_t{32} << 20;
// Beside the round trip: the queue before the wire, packing, unpacking, and the destination's next word.
constexpr double kSeconds = 0.05;
// How long the rate remembers.
constexpr double kMemorySeconds = 0.2;
// A mark for every so much of the guest's memory is exact enough; and so many are kept.
constexpr std::uint64_t kBetweenMarks = std::uint64_t{1} << 20;
constexpr std::size_t kMostMarks = 16'384;

}  // namespace

void Backlog::sent(std::uint64_t stream_bytes, std::uint64_t guest_bytes) {
  const std::lock_guard lock(mutex_);
  guest_sent_ = guest_bytes;
  const auto before = marks_.size() < 2 ? guest_taken_ : marks_[marks_.size() - 2].guest_bytes;
  if (!marks_.empty() && guest_bytes - before < kBetweenMarks)
    marks_.back() = {stream_bytes, guest_bytes};
  else
    marks_.push_back({stream_bytes, guest_bytes});
  // A destination that never says anything must not make this grow.
  if (marks_.size() > kMostMarks) marks_.pop_front();
}

void Backlog::taken(std::uint64_t stream_bytes, MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  const auto before = guest_taken_;
  for (; !marks_.empty() && marks_.front().stream_bytes <= stream_bytes; marks_.pop_front())
    guest_taken_ = marks_.front().guest_bytes;
  const auto since = std::exchange(last_taken_, now);
  if (since && now > *since) {
    const double seconds = std::chrono::duration<double>(now - *since).count();
    const double fresh = static_cast<double>(guest_taken_ - before) / seconds;
    const double old = rate_.value_or(fresh);
    rate_ = fresh + (old - fresh) * std::exp(-seconds / kMemorySeconds);
  }
  changed_.notify_all();
}

void Backlog::wait_for_room() {
  std::unique_lock lock(mutex_);
  if (has_room()) return;
  const auto begun = std::chrono::steady_clock::now();
  changed_.wait(lock, [this] { return has_room(); });
  waited_ += std::chrono::steady_clock::now() - begun;
}

void Backlog::let_go() {
  const std::lock_guard lock(mutex_);
  let_go_ = true;
  changed_.notify_all();
}

std::uint64_t Backlog::on_its_way() const {
  const std::lock_guard lock(mutex_);
  return guest_sent_ - guest_taken_;
}

std::chrono::nanoseconds Backlog::waited() const {
  const std::lock_guard lock(mutex_);
  return waited_;
}

std::uint64_t Backlog::most(double rate, std::chrono::nanoseconds round_trip) {
  const double seconds = std::chrono::duration<double>(round_trip).count() + kSeconds;
  return std::max(kLeast, static_cast<std::uint64_t>(rate * seconds));
}

bool Backlog::has_room() const {
  return let_go_ || !rate_ || guest_sent_ - guest_taken_ <= most(*rate_, round_trip_);
}

}  // namespace vmigrate::migration
