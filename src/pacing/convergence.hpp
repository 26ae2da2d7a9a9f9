#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate::pacing {

/// What to do with a VM whose memory changes faster than it can be moved. The numbers are those of
/// control.proto.
enum class OnStall {
  abort = 1,  ///< give up; the VM runs on where it is
  pause = 2,  ///< stop it for as long as the rest takes
};

/// Watches whether the passes over the memory come to anything. No clock and no I/O.
class StallWatch {
 public:
  /// `remaining` in this `pass` (the first is 1), `may_stop`: the hypervisor would stop the VM already if
  /// what remains fitted into the longest pause that is allowed. True once pass after pass has left as much
  /// to do as the one before, for long enough that it is no passing burst.
  bool is_hopeless(std::uint32_t pass, Bytes remaining, bool may_stop, MonotonicTime now);
  /// The same, burst or not.
  bool is_in_vain() const;
  /// Something was done about it, which the passes that come next do not show yet.
  void expect_change(MonotonicTime now);

 private:
  void begin_period(std::uint32_t pass, Bytes remaining, MonotonicTime now);
  void end_period(std::uint32_t passes, bool may_stop, MonotonicTime now);

  // A period is a pass, or as many short ones as take a while.
  std::uint32_t first_looked_at_ = 0;  // no pass before this
  MonotonicTime looked_at_from_;       // nor before this time
  std::uint32_t first_ = 0;            // pass of this period; 0: it has not begun
  std::uint32_t pass_ = 0;
  MonotonicTime begun_;
  Bytes most_;                     // that remained in this period: what its passes began with
  std::optional<Bytes> previous_;  // likewise, in the one before
  std::uint32_t in_vain_ = 0;      // passes of periods that left as much as the one before
  std::optional<MonotonicTime> since_;
};

/// How far to slow a VM whose memory changes faster than it can be moved, and when nothing helps. Passes that
/// come to nothing slow it, by a small step; only if those after it come to nothing as well does the next
/// step follow, up to what is allowed. No clock and no I/O.
class Convergence {
 public:
  struct Verdict {
    Percent slowdown;       ///< what to slow the VM to; never less than before
    bool hopeless = false;  ///< although it is slowed as far as is allowed
  };

  explicit Convergence(Percent max_slowdown = {}) : max_slowdown_(max_slowdown) {}
  /// As StallWatch::is_hopeless().
  Verdict judge(std::uint32_t pass, Bytes remaining, bool may_stop, MonotonicTime now);

 private:
  Percent max_slowdown_;
  Percent slowdown_;
  StallWatch watch_;
};

}  // namespace vmigrate::pacing
