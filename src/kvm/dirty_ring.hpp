#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "kvm/slot.hpp"

struct kvm_dirty_gfn;

namespace vmigrate::kvm {

/// What KVM has written down for one vCPU, in entries that both sides see.
class RingEntries {
 public:
  struct Page {
    std::uint32_t slot = 0;
    std::uint64_t index = 0;
    bool operator==(const Page&) const = default;
  };

  /// As many as a power of two.
  explicit RingEntries(std::span<kvm_dirty_gfn> entries) : entries_(entries) {}

  /// Appends to `found` what was not taken yet, and leaves it to KVM to be reset. False: all are in use, so
  /// that KVM may have written over some.
  [[nodiscard]] bool take(std::vector<Page>& found);

 private:
  std::span<kvm_dirty_gfn> entries_;
  std::uint32_t next_ = 0;  ///< which entry KVM fills next, as far as we have seen
};

/// The rings of a VM's vCPUs (KVM_CAP_DIRTY_LOG_RING): KVM writes down there which pages a vCPU has written,
/// and stops a vCPU whose ring is full. Maps them for as long as it lives.
class DirtyRing {
 public:
  /// `size`: of each ring, in bytes.
  DirtyRing(int vm, Slots& slots, std::uint64_t size) : vm_(vm), slots_(slots), size_(size) {}
  DirtyRing(const DirtyRing&) = delete;
  DirtyRing& operator=(const DirtyRing&) = delete;
  ~DirtyRing();

  Result<> map(int vcpu);
  /// Takes what is in the rings as marks of the slots. From any thread.
  Result<> harvest();
  /// Fails once KVM has written over entries that were not taken yet: nobody knows any more what is dirty.
  Result<> check_complete();

 private:
  struct Ring {
    void* memory = nullptr;
    RingEntries entries;
  };

  int vm_;
  Slots& slots_;
  std::uint64_t size_;
  std::mutex mutex_;
  std::vector<Ring> rings_;
  std::vector<RingEntries::Page> found_;
  bool overrun_ = false;
};

}  // namespace vmigrate::kvm
