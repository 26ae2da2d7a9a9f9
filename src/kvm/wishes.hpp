#pragma once

#include <mutex>

#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {

/// What is asked of a send() from outside while it is under way. Before and after it nothing can be: it would
/// be meant for another one. Thread-safe.
class Wishes {
 public:
  void begin() { set({true, {}, {}}); }
  void end() { set({}); }

  Result<> allow_pause(Milliseconds pause) {
    return change([pause](Wished& wished) { wished.pause = pause; });
  }
  Result<> slow_down(Percent slowdown) {
    return change([slowdown](Wished& wished) { wished.slowdown = slowdown; });
  }

  Milliseconds pause() const {
    const std::lock_guard lock(mutex_);
    return wished_.pause;
  }
  Percent slowdown() const {
    const std::lock_guard lock(mutex_);
    return wished_.slowdown;
  }

 private:
  struct Wished {
    bool sending = false;
    Milliseconds pause{};
    Percent slowdown{};
  };

  void set(const Wished& wished) {
    const std::lock_guard lock(mutex_);
    wished_ = wished;
  }
  template <class Change>
  Result<> change(Change change) {
    const std::lock_guard lock(mutex_);
    if (!wished_.sending) return fail(ErrorCode::usage, "the VM is not being sent");
    change(wished_);
    return {};
  }

  mutable std::mutex mutex_;
  Wished wished_;
};

}  // namespace vmigrate::kvm
