#include "kvm/dirty_tracker.hpp"

#include <linux/kvm.h>

#include "kvm/dirty_bitmaps.hpp"
#include "kvm/dirty_ring.hpp"

namespace vmigrate::kvm {
namespace {

class RingTracker : public DirtyTracker {
 public:
  RingTracker(int vm, Slots& slots, DirtyRing& ring)
      : vm_(vm), logging_(vm, slots), slots_(slots), ring_(ring) {}

  // Whatever was chosen for bitmaps before: with "initially set" KVM would watch no page from the beginning.
  Result<> begin() {
    return choose_clearing(vm_, false).and_then([this] { return logging_.begin(); });
  }

  Result<> collect() override {
    const std::lock_guard lock(slots_.mutex);
    if (auto done = ring_.harvest().and_then([this] { return ring_.check_complete(); }); !done) return done;
    for (const auto& slot : slots_.all) slot->marks.take(slot->pending);
    return {};
  }

  // The harvest has reset the ring: KVM watches the pages again.
  Result<> rearm(Slot&, std::size_t, std::size_t) override { return {}; }

 private:
  int vm_;
  SlotLogging logging_;
  Slots& slots_;
  DirtyRing& ring_;
};

}  // namespace

DirtyLog choose_dirty_log(DirtyLog wanted, int manual_flags, bool has_ring) {
  // With rings KVM has no bitmap to read.
  if (has_ring) return DirtyLog::ring;
  if (wanted != DirtyLog::automatic) return wanted;
  return (manual_flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) != 0 ? DirtyLog::manual : DirtyLog::plain;
}

Result<std::unique_ptr<DirtyTracker>> start_tracking(int vm, DirtyLog kind, Slots& slots, DirtyRing* ring) {
  if (kind == DirtyLog::ring) {
    auto tracker = std::make_unique<RingTracker>(vm, slots, *ring);
    if (auto begun = tracker->begin(); !begun) return fail(begun.error());
    return tracker;
  }
  auto tracker = std::make_unique<BitmapTracker>(vm, kind, slots);
  if (auto begun = tracker->begin(); !begun) return fail(begun.error());
  return tracker;
}

}  // namespace vmigrate::kvm
