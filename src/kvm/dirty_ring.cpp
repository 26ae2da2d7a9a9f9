#include "kvm/dirty_ring.hpp"

#include <atomic>

#include <linux/kvm.h>
#include <sys/mman.h>

#include "kvm/calls.hpp"

namespace vmigrate::kvm {

DirtyRing::~DirtyRing() {
  for (const auto& ring : rings_) ::munmap(ring.entries, size_);
}

Result<> DirtyRing::map(int vcpu) {
  void* entries = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu,
                         static_cast<off_t>(KVM_DIRTY_LOG_PAGE_OFFSET * kPageSize));
  if (entries == MAP_FAILED) return fail_errno("mapping a vCPU's dirty ring", errno);
  rings_.push_back({static_cast<kvm_dirty_gfn*>(entries), 0});
  return {};
}

Result<> DirtyRing::check_complete() {
  const std::lock_guard lock(mutex_);
  if (!overrun_) return {};
  return fail(ErrorCode::failed,
              "KVM has lost track of the memory that the guest writes: a vCPU's dirty ring has run over",
              "enable a larger ring, or none");
}

Result<> DirtyRing::harvest() {
  const std::lock_guard lock(mutex_);
  found_.clear();
  for (auto& ring : rings_) harvest_one(ring);
  if (found_.empty()) return {};
  if (auto reset = call(vm_, KVM_RESET_DIRTY_RINGS, 0, "resetting the dirty rings"); !reset) {
    return fail(reset.error());
  }
  // Only now: a page marked earlier might be copied before KVM watches it again.
  for (const auto& page : found_) {
    if (auto* slot = slots_.find(page.slot)) slot->marks.mark(page.index * kPageSize, kPageSize);
  }
  return {};
}

void DirtyRing::harvest_one(Ring& ring) {
  const auto count = static_cast<std::uint32_t>(size_ / sizeof(kvm_dirty_gfn));
  for (std::uint32_t taken = 0;; ++taken) {
    // KVM stops a vCPU well before its ring is full. One that emulates all instructions was seen not to (with
    // a warning in kvm_dirty_ring_push, Linux 6.18): it then writes over what we have not seen.
    if (taken == count) {
      overrun_ = true;
      return;
    }
    auto& entry = ring.entries[ring.next % count];
    const std::atomic_ref<std::uint32_t> flags(entry.flags);
    if (flags.load(std::memory_order_acquire) != KVM_DIRTY_GFN_F_DIRTY) return;
    found_.push_back({entry.slot, entry.offset});
    flags.store(KVM_DIRTY_GFN_F_RESET, std::memory_order_release);
    ++ring.next;
  }
}

}  // namespace vmigrate::kvm
