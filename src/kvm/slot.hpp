#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kvm/dirty_marks.hpp"
#include "kvm/page_bitmap.hpp"
#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {

/// A memory slot and what of it is to be sent.
struct Slot {
  explicit Slot(MemorySlot slot)
      : memory(std::move(slot)), marks(memory.size), pending(memory.size / kPageSize) {}

  /// KVM is to log what the guest writes to it.
  bool is_logged() const { return !memory.read_only && !removed; }

  const MemorySlot memory;
  DirtyMarks marks;
  PageBitmap pending;    ///< pages that the destination has not, or not as they are now
  bool removed = false;  ///< by the VMM: there is nothing behind `memory` any more
};

/// All slots of a VM. Which there are does not change, so that marking needs no lock; `mutex` is held by
/// whoever looks at a slot's memory or speaks of it to KVM, and by who removes it.
struct Slots {
  /// Nothing if there is no such slot.
  Slot* find(std::uint32_t number) {
    for (const auto& slot : all) {
      if (slot->memory.number == number) return slot.get();
    }
    return nullptr;
  }

  mutable std::mutex mutex;
  std::vector<std::unique_ptr<Slot>> all;
};

}  // namespace vmigrate::kvm
