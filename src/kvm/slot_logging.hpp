#pragma once

#include "base/error.hpp"
#include "kvm/slot.hpp"

namespace vmigrate::kvm {

/// KVM_MEM_LOG_DIRTY_PAGES is on for every slot that the guest can write, as long as this lives.
class SlotLogging {
 public:
  SlotLogging(int vm, Slots& slots) : vm_(vm), slots_(slots) {}
  SlotLogging(const SlotLogging&) = delete;
  SlotLogging& operator=(const SlotLogging&) = delete;
  ~SlotLogging();

  /// Slot by slot: of a failure in the middle the destructor takes care.
  Result<> begin();

 private:
  Result<> set(const Slot& slot, bool logged) const;

  int vm_;
  Slots& slots_;
};

}  // namespace vmigrate::kvm
