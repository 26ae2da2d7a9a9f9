#include "peer/reconnector.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

/// Between two tries: a host that is there and refuses answers at once.
constexpr Milliseconds kPause{200};

}  // namespace

void Reconnector::set_window(Milliseconds window) {
  const std::lock_guard lock(mutex_);
  window_ = window;
  window_set_ = Clock::now();
  changed_.notify_all();
}

void Reconnector::on_stall(std::function<void(const std::optional<Error>&)> stalled) {
  const std::lock_guard lock(mutex_);
  stalled_ = std::move(stalled);
}

void Reconnector::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  stalled_ = nullptr;
  changed_.notify_all();
}

bool Reconnector::is_closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

std::optional<MonotonicTime> Reconnector::deadline(std::optional<MonotonicTime> lost) const {
  if (closed_) return std::nullopt;
  return lost ? std::max(*lost, window_set_) + window_ : MonotonicTime::max();
}

bool Reconnector::may_wait(std::optional<MonotonicTime> lost) {
  const auto until = deadline(lost);
  return until && Clock::now() < *until;
}

Result<Joined> Reconnector::connect(int connection) {
  if (is_closed()) return fail(ErrorCode::unreachable, "the session is closed");
  auto joined = join(connection, 0, std::nullopt);
  if (joined) came(connection);
  if (joined || joined.error().code == ErrorCode::not_allowed) return joined;
  return reconnect(connection, 0, joined.error());
}

Result<Joined> Reconnector::linger(int connection, std::uint64_t received) {
  return join(connection, received, std::nullopt);
}

Result<Joined> Reconnector::reconnect(int connection, std::uint64_t received, const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || window_ == Milliseconds(0)) return fail(why);
  }
  lose(connection, why);
  auto joined = join_again(connection, received, why);
  if (joined) came(connection);
  return joined;
}

Result<Joined> Reconnector::join_again(int connection, std::uint64_t received, const Error& why) {
  const auto lost = Clock::now();
  Error last;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (!may_wait(lost)) {
        if (closed_ || last.message.empty()) return fail(why);
        return fail(why.code,
                    fmt::format("{}; it did not come back within {}: {}", why.message,
                                vmigrate::to_string(window_), last.message),
                    last.hint);
      }
    }
    auto joined = join(connection, received, lost);
    if (joined || joined.error().code == ErrorCode::not_allowed) return joined;
    last = joined.error();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPause, [this] { return closed_; });
  }
}

void Reconnector::heard(int connection) {
  if (!waits_for_word_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  go_on_if(outage_.heard(connection));
}

void Reconnector::ended(int connection) {
  const std::lock_guard lock(mutex_);
  go_on_if(outage_.ended(connection));
}

void Reconnector::gone(int connection) {
  const std::lock_guard lock(mutex_);
  outage_.gone(connection);
  waits_for_word_ = outage_.waits_for_word();
}

void Reconnector::came(int connection) {
  const std::lock_guard lock(mutex_);
  go_on_if(outage_.came(connection));
}

void Reconnector::lose(int connection, const Error& why) {
  const std::lock_guard lock(mutex_);
  if (outage_.lost(connection) && stalled_) stalled_(why);
  waits_for_word_ = outage_.waits_for_word();
}

/// With the mutex held.
void Reconnector::go_on_if(bool over) {
  waits_for_word_ = outage_.waits_for_word();
  if (over && stalled_) stalled_(std::nullopt);
}

}  // namespace vmigrate::peer
