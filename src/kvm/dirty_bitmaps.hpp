#pragma once

#include <cstdint>
#include <vector>

#include "kvm/dirty_tracker.hpp"
#include "kvm/slot_logging.hpp"

namespace vmigrate::kvm {

/// Whether dirty logs are cleared when they are read, or by KVM_CLEAR_DIRTY_LOG (`manual`). A kernel that has
/// no choice clears them when they are read.
Result<> choose_clearing(int vm, bool manual);

/// KVM_GET_DIRTY_LOG. In the plain form it clears what it reads and protects all of it at once, so that a
/// page that is written before its turn comes is copied twice. In the manual form (Linux 5.1 and later)
/// KVM_CLEAR_DIRTY_LOG does that for each piece just before the piece is copied; and pages need not be
/// protected all at once when logging begins, since all of them count as dirty ("initially set", 5.7).
class BitmapTracker : public DirtyTracker {
 public:
  BitmapTracker(int vm, DirtyLog kind, Slots& slots)
      : vm_(vm), manual_(kind == DirtyLog::manual), slots_(slots), logging_(vm, slots) {}

  Result<> begin();
  Result<> collect() override;
  Result<> rearm(Slot& slot, std::size_t first, std::size_t count) override;

 private:
  int vm_;
  bool manual_;
  Slots& slots_;
  SlotLogging logging_;
  std::vector<std::uint64_t> log_;
};

}  // namespace vmigrate::kvm
