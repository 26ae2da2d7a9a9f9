#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace vmigrate {

/// Time that only goes forward: what every decision uses. Wall-clock time is for people, in logs and history.
using MonotonicTime = std::chrono::steady_clock::time_point;

/// For poll(): how long until then, rounded up; -1, for ever, without a deadline.
inline int milliseconds_until(std::optional<MonotonicTime> deadline) {
  if (!deadline) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, std::numeric_limits<int>::max()));
}

/// The edge to the system's clocks, so that tests can move time by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime now() const { return std::chrono::steady_clock::now(); }
  virtual std::chrono::system_clock::time_point wall() const { return std::chrono::system_clock::now(); }
};

}  // namespace vmigrate
