#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"
#include "peer/limits.hpp"

namespace vmigrate::peer {

/// How many bytes may lie between who writes and the wire: what passes in 50 ms at the rate that is seen.
/// More would make a pause longer and what QEMU measures wrong; with less the wire stands still while a
/// thread waits for its turn on the processor. Not thread-safe.
class QueueBound {
 public:
  static constexpr std::size_t kLeast = 2 * kLongestBulkChunk;
  /// What waits here and what is not acknowledged is memory of this process.
  static constexpr std::size_t kMost = 4 * kMebibyte;

  explicit QueueBound(MonotonicTime now) : since_(now) {}

  /// So many bytes have gone towards the wire since the beginning. Whether the bound is another now.
  bool gone(std::uint64_t bytes, MonotonicTime now) {
    const std::chrono::duration<double> elapsed = now - since_;
    if (elapsed < kSpan) return false;
    const double fresh = static_cast<double>(bytes - gone_) * (kSpan / elapsed);
    since_ = now;
    gone_ = bytes;
    // Slowly down: neither a source that has little to say for a while nor a bound that was too low for a
    // moment makes the wire slower.
    passed_ = std::max(fresh, std::min(passed_, static_cast<double>(bytes_)) * kRemembered);
    const auto before = bytes_;
    bytes_ = static_cast<std::size_t>(
        std::clamp(passed_, static_cast<double>(kLeast), static_cast<double>(kMost)));
    return bytes_ != before;
  }
  std::size_t bytes() const { return bytes_; }
  /// In which so much passes: 50 ms, or longer where the bound is as low as it may be; 2 s at most, as a
  /// source with little to say looks like a slow link.
  std::chrono::nanoseconds time() const {
    const auto time = kSpan * std::max(1.0, static_cast<double>(bytes_) / std::max(passed_, 1.0));
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::min(time, kLongest));
  }

 private:
  static constexpr std::chrono::duration<double> kSpan{0.05};
  static constexpr std::chrono::duration<double> kLongest{2};
  static constexpr double kRemembered = 0.95;

  MonotonicTime since_;
  std::uint64_t gone_ = 0;
  std::size_t bytes_ = 6 * kLongestBulkChunk;
  double passed_ = 6 * kLongestBulkChunk;  // in kSpan at the rate that is seen
};

}  // namespace vmigrate::peer
