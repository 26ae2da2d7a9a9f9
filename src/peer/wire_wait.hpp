#pragma once

#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/clock.hpp"

namespace vmigrate::peer {

/// How long a connection's sender has waited for the network. While a socket has no room, either the network
/// or the receiver's window holds it back; the kernel counts the latter (tcpi_rwnd_limited in linux/tcp.h),
/// as a total since the connection began. Only what it counts between begin() and end() matters, so that a
/// window that was closed while nothing was to be sent is not taken for one that was waited for. Thread-safe.
class WireWait {
 public:
  using Duration = std::chrono::nanoseconds;

  /// The socket has no room. `limited`: the kernel's count.
  void begin(MonotonicTime now, Duration limited) {
    const std::lock_guard lock(mutex_);
    waiting_ = true;
    since_ = now;
    limited_since_ = limited;
  }
  void end(MonotonicTime now, Duration limited) {
    const std::lock_guard lock(mutex_);
    sum_ = sum(now, limited);
    waiting_ = false;
  }
  /// The wait that is going on included. Never less than before.
  Duration total(MonotonicTime now, Duration limited) {
    const std::lock_guard lock(mutex_);
    most_ = std::max(most_, sum(now, limited));
    return most_;
  }

 private:
  /// The kernel counts in ticks of several milliseconds, so a single short wait may come out negative; only
  /// in the sum of many does that even out.
  Duration sum(MonotonicTime now, Duration limited) const {
    return waiting_ ? sum_ + (now - since_) - (limited - limited_since_) : sum_;
  }

  std::mutex mutex_;
  bool waiting_ = false;
  MonotonicTime since_{};
  Duration limited_since_{};
  Duration sum_{};
  Duration most_{};
};

}  // namespace vmigrate::peer
