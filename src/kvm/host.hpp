#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "kvm/state.hpp"

namespace vmigrate::kvm {

/// What this host's KVM can do for a VM.
struct Host {
  std::string processor_vendor{};
  CpuidEntries supported_cpuid{};     ///< KVM_GET_SUPPORTED_CPUID
  CpuidEntries shown_cpuid{};         ///< what a vCPU has that was given just that
  std::vector<std::uint32_t> msrs{};  ///< indices, in ascending order
  /// Indices of those that say what a vCPU is: set when it is made, and not by its guest.
  std::vector<std::uint32_t> fixed_msrs{};
  std::uint32_t xsave_size = 0;  ///< bytes; 0 without XSAVE
  std::uint64_t tsc_khz = 0;     ///< what vCPUs get here; 0: unknown
  bool can_scale_tsc = false;
  bool has_tsc_deadline = false;
  bool has_wide_special_registers = false;
};

/// Reads it from /dev/kvm and the VM. `tsc_khz` is left to the caller: only a vCPU tells.
Result<Host> look_at_host(int kvm, int vm);

/// KVM_GET_CPUID2 of a vCPU: what the VMM has set.
Result<CpuidEntries> read_cpuid(int vcpu);
Result<> write_cpuid(int vcpu, const CpuidEntries& entries);

/// "AuthenticAMD"; empty when the entries do not tell.
std::string vendor_of(const CpuidEntries& entries);

}  // namespace vmigrate::kvm
