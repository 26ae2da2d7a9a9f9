#include "kvm/machine_parts.hpp"

#include <algorithm>
#include <bit>
#include <iterator>

#include <fmt/format.h>
#include <linux/kvm.h>

#include "kvm/board_state.hpp"
#include "kvm/calls.hpp"
#include "kvm/vcpu_state.hpp"

namespace vmigrate::kvm {
namespace {

constexpr std::size_t kLongestName = 255;

tl::unexpected<Error> senseless(std::string message) {
  return fail(ErrorCode::usage, std::move(message));
}

Result<> check(const MemorySlot& slot) {
  if (slot.name.empty() || slot.name.size() > kLongestName) {
    return senseless(fmt::format("the name of memory slot {} has {} bytes", slot.number, slot.name.size()));
  }
  if (slot.size == 0 || slot.size % kPageSize != 0 || slot.guest_address % kPageSize != 0) {
    return senseless(fmt::format("memory slot '{}' is not made of whole pages", slot.name));
  }
  if (slot.memory == nullptr) return senseless(fmt::format("memory slot '{}' has no memory", slot.name));
  return {};
}

bool has_local_apic(int vcpu) {
  kvm_lapic_state state{};
  return ::ioctl(vcpu, KVM_GET_LAPIC, &state) == 0;
}

}  // namespace

Result<std::unique_ptr<MachineParts>> MachineParts::create(MachineDescription description, Vmm& vmm) {
  auto parts = std::unique_ptr<MachineParts>(new MachineParts);
  parts->description = std::move(description);
  parts->vmm = &vmm;
  if (auto taken = parts->take_slots(); !taken) return fail(taken.error());
  auto host = look_at_host(parts->description.kvm, parts->description.vm);
  if (!host) return fail(host.error());
  parts->host = std::move(*host);
  if (auto looked = parts->look_at_vcpus(); !looked) return fail(looked.error());
  if (auto mapped = parts->map_rings(); !mapped) return fail(mapped.error());
  const auto kind = choose_dirty_log(parts->description.dirty_log,
                                     extension(parts->description.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2),
                                     parts->ring.has_value());
  parts->start_tracking = [&parts = *parts, kind] {
    return kvm::start_tracking(parts.description.vm, kind, parts.slots, parts.ring ? &*parts.ring : nullptr);
  };
  return parts;
}

Needs MachineParts::needs() const {
  Needs needs = shape;
  const std::lock_guard lock(slots.mutex);
  for (const auto& slot : slots.all) {
    if (slot->removed) continue;
    const auto& memory = slot->memory;
    needs.slots.push_back({memory.name, memory.guest_address, memory.size, memory.read_only});
  }
  return needs;
}

Result<> MachineParts::take_slots() {
  if (description.slots.empty()) return senseless("a VM without memory cannot be moved");
  for (const auto& slot : description.slots) {
    if (auto checked = check(slot); !checked) return checked;
    for (const auto& other : slots.all) {
      if (other->memory.name == slot.name || other->memory.number == slot.number) {
        return senseless(
            fmt::format("two memory slots are called '{}' or have number {}", slot.name, slot.number));
      }
    }
    slots.all.push_back(std::make_unique<Slot>(slot));
  }
  return {};
}

Result<> MachineParts::map_rings() {
  if (description.dirty_ring_size == 0) {
    if (description.dirty_log != DirtyLog::ring) return {};
    return senseless("a dirty ring is asked for, but none was enabled");
  }
  if (description.dirty_ring_size < kPageSize || !std::has_single_bit(description.dirty_ring_size)) {
    return senseless(fmt::format("dirty rings of {} bytes: that is no power of two of at least one page",
                                 description.dirty_ring_size));
  }
  ring.emplace(description.vm, slots, description.dirty_ring_size);
  for (const int vcpu : description.vcpus) {
    if (auto mapped = ring->map(vcpu); !mapped) return mapped;
  }
  return {};
}

Result<> MachineParts::look_at_vcpus() {
  if (description.vcpus.empty()) return senseless("a VM without vCPUs cannot be moved");
  const int first = description.vcpus.front();
  for (const int vcpu : description.vcpus) {
    auto entries = read_cpuid(vcpu);
    if (!entries) return fail(entries.error());
    cpuid.push_back(std::move(*entries));
  }
  auto msrs = readable_msrs(first, host.msrs);
  if (!msrs) return fail(msrs.error());
  // Others would be tried at the destination, and not come.
  std::vector<std::uint32_t> fixed;
  std::ranges::copy_if(*msrs, std::back_inserter(fixed), [&](std::uint32_t msr) {
    return std::ranges::find(host.fixed_msrs, msr) != host.fixed_msrs.end();
  });
  auto values = read_msrs(first, fixed);
  if (!values) return fail(values.error());
  const auto board = look_at_board(description.vm);
  const int khz = ::ioctl(first, KVM_GET_TSC_KHZ, 0);
  host.tsc_khz = khz > 0 ? static_cast<std::uint64_t>(khz) : 0;
  shape.processor_vendor = host.processor_vendor;
  shape.vcpus = static_cast<std::uint32_t>(description.vcpus.size());
  shape.cpuid = cpuid.front();
  shape.msrs = std::move(*msrs);
  shape.fixed_msrs = std::move(*values);
  shape.tsc_khz = host.tsc_khz;
  shape.xsave_size = host.xsave_size;
  shape.has_local_apic = has_local_apic(first);
  shape.has_interrupt_chips = board.has_interrupt_chips;
  shape.has_timer_chip = board.has_timer_chip;
  shape.has_wide_special_registers = host.has_wide_special_registers;
  return {};
}

}  // namespace vmigrate::kvm
