#pragma once

#include <cstddef>
#include <memory>

#include "base/error.hpp"
#include "kvm/slot.hpp"

namespace vmigrate::kvm {

class DirtyRing;

/// Finds the pages that the guest writes, from the beginning of its life to the end. Slots' mutex is taken
/// inside collect(), and held by the caller of rearm().
///
/// What keeps a write from being lost: a page's content is read only after collect() or rearm() has made KVM
/// watch the page again. A write before that is in what is read, a write after it is seen by the next
/// collect().
class DirtyTracker {
 public:
  virtual ~DirtyTracker() = default;
  /// Adds to each slot's `pending` what was written since the last time.
  virtual Result<> collect() = 0;
  /// The pending pages in `count` words from `first` on are going to be read.
  virtual Result<> rearm(Slot& slot, std::size_t first, std::size_t count) = 0;
};

/// What the kernel can do, or what `wanted` says of it. `manual_flags`: what it offers of
/// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
DirtyLog choose_dirty_log(DirtyLog wanted, int manual_flags, bool has_ring);

/// Turns logging on. `ring`: of a VM that has rings, else nothing. `kind` is not `automatic`.
Result<std::unique_ptr<DirtyTracker>> start_tracking(int vm, DirtyLog kind, Slots& slots, DirtyRing* ring);

}  // namespace vmigrate::kvm
