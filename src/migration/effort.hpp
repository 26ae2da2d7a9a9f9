#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/clock.hpp"

namespace vmigrate::migration {

/// How much work goes into making the guest's memory smaller before it is sent.
enum class Effort : std::uint8_t {
  none,    ///< the stream as it is: for links that are faster than these CPUs
  light,   ///< what the destination has already, differences to it, and LZ4
  medium,  ///< the same with zstd
  strong,  ///< the same, looking for what is alike all over the window
};
inline constexpr std::size_t kEfforts = 4;

/// What was seen over a while. Shares are of that while, rates in bytes a second.
struct Load {
  double network = 0;  ///< share that the network kept the stream waiting: not the work, nor the destination
  double packing = 0;  ///< share that packing kept it waiting
  double putting = 0;  ///< share that whatever comes behind packing kept it waiting
  double rate = 0;     ///< of the stream
  double batches = 0;  ///< of the stream in batches, before packing
  double wire = 0;     ///< of what went onto the wire
};

/// Chooses the effort by what holds the stream back: the network, or the work. The first choice follows from
/// the network's rate and the workers there are; from there on a higher effort is tried while the network is
/// what is waited for and packing leaves room (the highest on slow networks only), and left when for half a
/// second that is the work, and the network is so idle that less work lets more through. One that was left is
/// tried again later, each time after twice as long.
///
/// No clock and no I/O: feed it a Load every hundred milliseconds or so.
class EffortChooser {
 public:
  /// `workers`: threads that pack with medium or strong effort.
  explicit EffortChooser(int workers) : workers_(workers) {}
  Effort current() const { return current_; }
  Effort update(const Load& load, MonotonicTime now);

 private:
  struct Experience {
    MonotonicTime not_before{};  ///< when it may be tried again
    std::chrono::milliseconds patience{};
  };

  bool is_slow(double network) const;
  Effort wanted(const Load& load) const;
  void learn_capacity(double wire);
  void remember(const Load& load);
  bool is_too_much() const;
  bool is_in_vain(const Load& load) const;
  void step_down(MonotonicTime now);

  const int workers_;
  Effort current_ = Effort::none;
  double capacity_ = 0;    // of the network when it was full lately, bytes a second
  double busy_ = 0;        // the share that packing took, or lately took
  int looks_ = 0;          // since the last change, but for the first
  bool settling_ = false;  // the first is still to come
  Load recent_{};          // of the looks since then
  std::array<Experience, kEfforts> experience_;
};

}  // namespace vmigrate::migration
