#include "kvm/dirty_ring.hpp"

#include <atomic>

#include <linux/kvm.h>
#include <sys/mman.h>

#include "kvm/calls.hpp"

namespace vmigrate::kvm {

bool RingEntries::take(std::vector<Page>& found) {
  for (std::size_t taken = 0; taken < entries_.size(); ++taken) {
    auto& entry = entries_[next_ % entries_.size()];
    const std::atomic_ref<std::uint32_t> flags(entry.flags);
    if (flags.load(std::memory_order_acquire) != KVM_DIRTY_GFN_F_DIRTY) return true;
    found.push_back({entry.slot, entry.offset});
    flags.store(KVM_DIRTY_GFN_F_RESET, std::memory_order_release);
    ++next_;
  }
  // KVM stops a vCPU well before its ring is full. One that emulates all instructions was seen not to (with a
  // warning in kvm_dirty_ring_push, Linux 6.18): it then writes over what we have not seen.
  return false;
}

DirtyRing::~DirtyRing() {
  for (const auto& ring : rings_) ::munmap(ring.memory, size_);
}

Result<> DirtyRing::map(int vcpu) {
  void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu,
                        static_cast<off_t>(KVM_DIRTY_LOG_PAGE_OFFSET * kPageSize));
  if (memory == MAP_FAILED) return fail_errno("mapping a vCPU's dirty ring", errno);
  const std::span entries(static_cast<kvm_dirty_gfn*>(memory), size_ / sizeof(kvm_dirty_gfn));
  rings_.push_back({memory, RingEntries(entries)});
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
  for (auto& ring : rings_) {
    if (!ring.entries.take(found_)) overrun_ = true;
  }
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

}  // namespace vmigrate::kvm
