#pragma once

#include <chrono>

namespace vmigrate {

/// Time that only goes forward: what every decision uses. Wall-clock time is for people, in logs and history.
using MonotonicTime = std::chrono::steady_clock::time_point;

/// The edge to the system's clocks, so that tests can move time by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime now() const { return std::chrono::steady_clock::now(); }
  virtual std::chrono::system_clock::time_point wall() const { return std::chrono::system_clock::now(); }
};

}  // namespace vmigrate
