#pragma once

#include <functional>
#include <thread>

#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate::microvm {

/// Keeps vCPUs from running for a share of the time, in turns so short that users of the guest do not see
/// them, on a thread of its own ("throttle").
class Throttle {
 public:
  /// `hold`: keep every vCPU from running until then.
  explicit Throttle(std::function<void(MonotonicTime until)> hold) : hold_(std::move(hold)) {}

  /// 0: they run freely. At most 99.
  void set(Percent share);

 private:
  const std::function<void(MonotonicTime)> hold_;
  std::jthread thread_;
};

}  // namespace vmigrate::microvm
