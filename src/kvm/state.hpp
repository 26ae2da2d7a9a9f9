#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <linux/kvm.h>

#include "base/bytes.hpp"
#include "kvm/digest.hpp"

/// What there is to a KVM guest beside its memory, in KVM's own structures. proto/vmigrate/kvm_state.proto
/// tells what each means.
namespace vmigrate::kvm {

using CpuidEntries = std::vector<kvm_cpuid_entry2>;

struct SlotShape {
  std::string name{};
  std::uint64_t guest_address = 0;
  std::uint64_t size = 0;
  bool read_only = false;
  bool operator==(const SlotShape&) const = default;
};

struct Needs {
  std::string processor_vendor{};
  std::vector<SlotShape> slots{};
  std::uint32_t vcpus = 0;
  CpuidEntries cpuid{};
  std::vector<std::uint32_t> msrs{};
  std::uint64_t tsc_khz = 0;
  std::uint32_t xsave_size = 0;
  bool has_local_apic = false;
  bool has_interrupt_chips = false;
  bool has_timer_chip = false;
  bool has_wide_special_registers = false;
  std::vector<kvm_msr_entry> fixed_msrs{};
};

struct VcpuState {
  CpuidEntries cpuid{};
  std::uint64_t tsc_khz = 0;
  kvm_mp_state mp_state{};
  kvm_regs registers{};
  std::variant<kvm_sregs2, kvm_sregs> special_registers{};
  ByteBuffer fpu{};  ///< struct kvm_xsave, or kvm_fpu
  std::optional<kvm_xcrs> extended_control{};
  kvm_debugregs debug_registers{};
  std::optional<kvm_lapic_state> local_apic{};
  std::vector<kvm_msr_entry> msrs{};
  kvm_vcpu_events events{};
};

/// What the vCPUs share.
struct BoardState {
  std::vector<kvm_irqchip> interrupt_chips{};
  std::optional<kvm_pit_state2> timer_chip{};
  std::uint64_t clock = 0;
};

struct State {
  std::uint64_t stream_bytes = 0;
  Digest stream_digest{};
  std::vector<VcpuState> vcpus{};
  BoardState board{};
  std::vector<std::string> removed_slots{};
  ByteBuffer devices{};
};

}  // namespace vmigrate::kvm
