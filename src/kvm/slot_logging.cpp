#include "kvm/slot_logging.hpp"

#include <fmt/format.h>
#include <linux/kvm.h>
#include <spdlog/spdlog.h>

#include "kvm/calls.hpp"

namespace vmigrate::kvm {

SlotLogging::~SlotLogging() {
  const std::lock_guard lock(slots_.mutex);
  for (const auto& slot : slots_.all) {
    if (!slot->is_logged()) continue;
    // The guest only runs a little slower if it stays on, and the next move puts it right.
    if (auto done = set(*slot, false); !done) spdlog::warn("{}", done.error().message);
  }
}

Result<> SlotLogging::begin() {
  const std::lock_guard lock(slots_.mutex);
  for (const auto& slot : slots_.all) {
    if (!slot->is_logged()) continue;
    if (auto done = set(*slot, true); !done) return done;
  }
  return {};
}

Result<> SlotLogging::set(const Slot& slot, bool logged) const {
  kvm_userspace_memory_region region{};
  region.slot = slot.memory.number;
  region.flags = logged ? KVM_MEM_LOG_DIRTY_PAGES : 0U;
  region.guest_phys_addr = slot.memory.guest_address;
  region.memory_size = slot.memory.size;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(slot.memory.memory);
  const auto what =
      fmt::format("turning dirty logging {} for slot '{}'", logged ? "on" : "off", slot.memory.name);
  if (auto done = call(vm_, KVM_SET_USER_MEMORY_REGION, &region, what); !done) return fail(done.error());
  return {};
}

}  // namespace vmigrate::kvm
