#pragma once

#include <vector>

#include "base/error.hpp"
#include "kvm/host.hpp"
#include "kvm/state.hpp"

namespace vmigrate::kvm {

/// Whether a VM that needs this can become the VM that is here. No I/O. `own`: what is here, in the same
/// form. Everything that stands against it is named at once, each with what it is there and here.
Result<> check_needs(const Needs& needs, const Needs& own, const Host& host);

/// What keeps the VM that is here from being moved at all. `vcpus`: CPUID of each.
Result<> check_movable(const Needs& own, const std::vector<CpuidEntries>& vcpus);

/// Hosts are judged by the first vCPU's CPUID (`first`): no other may have more.
Result<> check_even(const CpuidEntries& first, const std::vector<CpuidEntries>& vcpus);

}  // namespace vmigrate::kvm
