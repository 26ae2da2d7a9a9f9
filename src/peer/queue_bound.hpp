#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "base/clock.hpp"
#include "peer/limits.hpp"

namespace vmigrate::peer {

/// How many bytes may lie between who writes and the wire: what passes in 50 ms at the rate that is seen.
/// More would make a pause longer and what QEMU measures wrong; with less the wire stands still while a
/// thread waits for its turn on the processor. Not thread-safe.
class QueueBound {
 public:
  static constexpr std::size_t kLeast = 2 * kLongestBulkChunk;
  static constexpr std::size_t kMost = 8 * kMebibyte;

  explicit QueueBound(MonotonicTime now) : since_(now) {}

  /// So many bytes more have found room. Whether the bound is another now.
  bool passed(std::size_t bytes, MonotonicTime now) {
    passed_ += bytes;
    const std::chrono::duration<double> elapsed = now - since_;
    if (elapsed < kSpan) return false;
    const double fresh = static_cast<double>(passed_) * (kSpan / elapsed);
    // A source that has little to say for a while does not make the wire slower.
    const double bound = std::max(fresh, static_cast<double>(bytes_) * kRemembered);
    since_ = now;
    passed_ = 0;
    const auto before = bytes_;
    bytes_ =
        static_cast<std::size_t>(std::clamp(bound, static_cast<double>(kLeast), static_cast<double>(kMost)));
    return bytes_ != before;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::chrono::duration<double> kSpan{0.05};
  static constexpr double kRemembered = 0.8;

  MonotonicTime since_;
  std::size_t passed_ = 0;
  std::size_t bytes_ = 4 * kLongestBulkChunk;
};

}  // namespace vmigrate::peer
