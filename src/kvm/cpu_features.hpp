#pragma once

#include <string>
#include <vector>

#include "kvm/state.hpp"

namespace vmigrate::kvm {

/// Names of the features that `guest` may use by its CPUID and none of `host` has, as Linux names them
/// in /proc/cpuinfo ("avx2"), or "CPUID 0x7.1 EAX bit 5" where they have no name here. Source of the bits:
/// AMD64 Architecture Programmer's Manual volume 3, appendix E; Intel SDM volume 2A, CPUID.
std::vector<std::string> missing_features(const CpuidEntries& guest, const std::vector<CpuidEntries>& host,
                                          bool has_tsc_deadline);

/// Names of the features that a vCPU may use and the first one of its VM not, by which hosts are judged.
std::vector<std::string> extra_features(const CpuidEntries& vcpu, const CpuidEntries& first);

/// The feature's name if the guest could run guests of its own ("svm", "vmx"), else empty.
std::string nesting_feature(const CpuidEntries& guest);

}  // namespace vmigrate::kvm
