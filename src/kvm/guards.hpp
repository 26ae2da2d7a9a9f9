#pragma once

#include <algorithm>

#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {

/// The guest is stopped, and goes on when this ends unless keep() was called.
class PausedGuest {
 public:
  explicit PausedGuest(Vmm& vmm) : vmm_(vmm) {}
  PausedGuest(const PausedGuest&) = delete;
  PausedGuest& operator=(const PausedGuest&) = delete;
  ~PausedGuest() {
    if (paused_) vmm_.resume();
  }

  Result<> pause() {
    auto paused = vmm_.pause();
    paused_ = paused.has_value();
    return paused;
  }
  void keep() { paused_ = false; }

 private:
  Vmm& vmm_;
  bool paused_ = false;
};

/// The guest is slowed as far as was asked for, and runs freely when this ends.
class SlowedGuest {
 public:
  explicit SlowedGuest(Vmm& vmm) : vmm_(vmm) {}
  SlowedGuest(const SlowedGuest&) = delete;
  SlowedGuest& operator=(const SlowedGuest&) = delete;
  ~SlowedGuest() {
    if (percent_ != Percent{}) set({});
  }

  /// Never less than before, nor as much that it would not run at all.
  void slow_down(Percent percent) {
    percent = std::min(percent, kMost);
    if (percent > percent_) set(percent);
  }
  Percent percent() const { return percent_; }

 private:
  static constexpr Percent kMost{99};

  void set(Percent percent) {
    percent_ = percent;
    vmm_.slow_down(percent);
  }

  Vmm& vmm_;
  Percent percent_;
};

}  // namespace vmigrate::kvm
