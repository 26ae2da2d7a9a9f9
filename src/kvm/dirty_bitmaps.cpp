#include "kvm/dirty_bitmaps.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <linux/kvm.h>

#include "kvm/calls.hpp"

namespace vmigrate::kvm {

Result<> choose_clearing(int vm, bool manual) {
  const auto offered = static_cast<unsigned>(extension(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
  if (offered == 0) {
    if (!manual) return {};
    return fail(ErrorCode::refused, "this kernel's KVM has no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
  }
  kvm_enable_cap enable{};
  enable.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
  enable.args[0] =
      manual ? offered & (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET) : 0U;
  const auto done = call(vm, KVM_ENABLE_CAP, &enable, "choosing how dirty logs are cleared");
  if (!done) return fail(done.error());
  return {};
}

Result<> BitmapTracker::begin() {
  if (auto chosen = choose_clearing(vm_, manual_); !chosen) return chosen;
  return logging_.begin();
}

Result<> BitmapTracker::collect() {
  const std::lock_guard lock(slots_.mutex);
  for (const auto& slot : slots_.all) {
    if (slot->removed) continue;
    slot->marks.take(slot->pending);
    if (!slot->is_logged()) continue;
    // The kernel copies whole longs, of which there are as many as a bitmap has words.
    log_.assign(slot->pending.words().size(), 0);
    kvm_dirty_log request{};
    request.slot = slot->memory.number;
    request.dirty_bitmap = log_.data();
    const auto read = call(vm_, KVM_GET_DIRTY_LOG, &request,
                           fmt::format("reading the dirty log of slot '{}'", slot->memory.name));
    if (!read) return fail(read.error());
    slot->pending.merge(log_);
  }
  return {};
}

Result<> BitmapTracker::rearm(Slot& slot, std::size_t first, std::size_t count) {
  if (!manual_ || !slot.is_logged()) return {};
  const auto words = slot.pending.words().subspan(first, count);
  kvm_clear_dirty_log request{};
  request.slot = slot.memory.number;
  request.first_page = first * kPagesPerWord;
  // A multiple of 64, except at the end of the slot.
  request.num_pages = static_cast<std::uint32_t>(
      std::min(count * kPagesPerWord, slot.pending.pages() - first * kPagesPerWord));
  request.dirty_bitmap = words.data();
  const auto done = call(vm_, KVM_CLEAR_DIRTY_LOG, &request,
                         fmt::format("clearing the dirty log of slot '{}'", slot.memory.name));
  if (!done) return fail(done.error());
  return {};
}

}  // namespace vmigrate::kvm
