#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate::kvm {

/// When the next byte may be sent if a bandwidth is not to be exceeded. No clock and no I/O.
class SendLimit {
 public:
  /// 0: no limit.
  explicit SendLimit(Rate rate) : rate_(rate) {}

  /// `bytes` have been sent by `now`: nothing may be sent before the time that this gives.
  MonotonicTime after(std::uint64_t bytes, MonotonicTime now) {
    if (rate_.bytes_per_second == 0) return now;
    // Time in which less was sent is not made up for later, but for as much as one wait may be late.
    if (due_ < now - kSlack) due_ = now - kSlack;
    const double seconds = static_cast<double>(bytes) / static_cast<double>(rate_.bytes_per_second);
    due_ += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
    return due_;
  }

 private:
  static constexpr std::chrono::milliseconds kSlack{10};
  Rate rate_;
  MonotonicTime due_{};
};

}  // namespace vmigrate::kvm
