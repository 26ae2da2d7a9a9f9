#pragma once

#include <vector>

#include "base/error.hpp"
#include "kvm/host.hpp"
#include "kvm/state.hpp"

/// One vCPU's state, read and written while it is not in KVM_RUN.
namespace vmigrate::kvm {

/// Which of the MSRs that the host knows this vCPU, with its CPUID, lets be read.
Result<std::vector<std::uint32_t>> readable_msrs(int vcpu, const std::vector<std::uint32_t>& known);

/// Their values.
Result<std::vector<kvm_msr_entry>> read_msrs(int vcpu, const std::vector<std::uint32_t>& indices);

/// Gives a vCPU that has never run the CPUID and the fixed MSRs that another has, to see whether it takes them
/// while there still is a way back. Errors: refused.
Result<> try_vcpu(int vcpu, const Needs& needs);

/// `shape`: what the VM has (see Needs).
Result<VcpuState> save_vcpu(int vcpu, const Needs& shape);
/// The VM's memory and interrupt chips are there already.
Result<> load_vcpu(int vcpu, const VcpuState& state, const Needs& shape);

}  // namespace vmigrate::kvm
