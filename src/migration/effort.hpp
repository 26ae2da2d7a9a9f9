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
  none,    ///< zero pages only: for links that are faster than these CPUs
  light,   ///< what the destination has already, and differences to it; lz4
  medium,  ///< the same, with zstd over a long window
  strong,  ///< the same, at a higher level
};
inline constexpr std::size_t kEfforts = 4;

/// What was seen over a while, as shares of that while.
struct Load {
  double wire = 0;        ///< that somebody waited for the wire
  double workers = 0;     ///< that the workers were busy packing, on average
  double rate = 0;        ///< bytes of the stream a second, before packing
  double wire_speed = 0;  ///< bytes that the wire took for each second that somebody waited for it
};

/// Chooses the effort by what holds the stream back: the wire, or the work. A step is kept only if more came
/// through after it (the first one: no less); one that did not help is tried again later, each time after
/// twice as long.
///
/// No clock and no I/O: feed it a Load every hundred milliseconds or so.
class EffortChooser {
 public:
  Effort current() const { return current_; }
  Effort update(const Load& load, MonotonicTime now);

 private:
  struct Experience {
    MonotonicTime not_before{};  ///< when a step to here may be tried again
    std::chrono::milliseconds patience{};
  };

  std::optional<Effort> wanted(const Load& load) const;
  void step_to(Effort effort, double rate);
  void step_back(MonotonicTime now);

  Effort current_ = Effort::none;
  std::optional<Effort> before_;  ///< where the last step came from, until it is judged
  double rate_before_ = 0;
  std::array<Experience, kEfforts> experience_;
};

}  // namespace vmigrate::migration
