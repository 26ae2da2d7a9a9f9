#include "kvm/compatibility.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kvm/cpu_features.hpp"

namespace vmigrate::kvm {
namespace {

// What KVM itself takes for the same frequency (tsc_tolerance_ppm).
constexpr double kTscTolerance = 250e-6;
constexpr std::size_t kMostNamed = 8;
constexpr std::uint64_t kBytesPerKib = 1024;

using Reasons = std::vector<std::string>;

std::string to_text(const SlotShape& slot) {
  return fmt::format("{} KiB at {:#x}{}", slot.size / kBytesPerKib, slot.guest_address,
                     slot.read_only ? ", read-only" : "");
}

void compare_slots(const Needs& needs, const Needs& own, Reasons& reasons) {
  for (const auto& slot : needs.slots) {
    const auto twin = std::find_if(own.slots.begin(), own.slots.end(),
                                   [&](const SlotShape& other) { return other.name == slot.name; });
    if (twin == own.slots.end())
      reasons.push_back(fmt::format("there is no memory slot '{}' here", slot.name));
    else if (*twin != slot)
      reasons.push_back(
          fmt::format("memory slot '{}' is {} there and {} here", slot.name, to_text(slot), to_text(*twin)));
  }
  if (needs.slots.size() < own.slots.size()) {
    reasons.push_back(
        fmt::format("{} memory slots are there and {} here", needs.slots.size(), own.slots.size()));
  }
}

void compare_chip(bool there, bool here, const char* name, Reasons& reasons) {
  if (there == here) return;
  reasons.push_back(fmt::format("{} is {} there and {} here", name,
                                there ? "in the kernel" : "not in the kernel", here ? "is" : "is not"));
}

void compare_processor(const Needs& needs, const Host& host, Reasons& reasons) {
  if (needs.processor_vendor != host.processor_vendor) {
    reasons.push_back(fmt::format("its host has a processor of {}, this one of {}", needs.processor_vendor,
                                  host.processor_vendor));
    return;  // nearly every feature would be named
  }
  auto features =
      missing_features(needs.cpuid, {host.supported_cpuid, host.shown_cpuid}, host.has_tsc_deadline);
  if (features.size() > kMostNamed) {
    const auto more = features.size() - kMostNamed;
    features.resize(kMostNamed);
    features.push_back(fmt::format("{} more", more));
  }
  if (!features.empty()) {
    reasons.push_back(fmt::format("this host's KVM does not support {}", fmt::join(features, ", ")));
  }
}

void compare_registers(const Needs& needs, const Host& host, Reasons& reasons) {
  std::vector<std::string> unknown;
  for (const auto msr : needs.msrs) {
    if (!std::binary_search(host.msrs.begin(), host.msrs.end(), msr))
      unknown.push_back(fmt::format("{:#x}", msr));
  }
  if (!unknown.empty()) {
    reasons.push_back(fmt::format("this host's KVM does not know the MSRs {}", fmt::join(unknown, ", ")));
  }
  if (needs.xsave_size > host.xsave_size) {
    reasons.push_back(fmt::format("its FPU state has {} bytes, this host's KVM takes {}", needs.xsave_size,
                                  host.xsave_size));
  }
  if ((needs.xsave_size == 0) != (host.xsave_size == 0)) {
    reasons.emplace_back("its FPU state comes without XSAVE, which this host's KVM uses");
  }
  if (needs.has_wide_special_registers && !host.has_wide_special_registers) {
    reasons.emplace_back("this host's KVM has no KVM_SET_SREGS2");
  }
}

void compare_tsc(const Needs& needs, const Host& host, Reasons& reasons) {
  if (needs.tsc_khz == 0 || host.tsc_khz == 0 || host.can_scale_tsc) return;
  const auto there = static_cast<double>(needs.tsc_khz);
  const auto here = static_cast<double>(host.tsc_khz);
  if (std::abs(there - here) > here * kTscTolerance) {
    reasons.push_back(
        fmt::format("its time stamp counter runs at {} kHz, and this host can run it at {} kHz only",
                    needs.tsc_khz, host.tsc_khz));
  }
}

}  // namespace

Result<> check_needs(const Needs& needs, const Needs& own, const Host& host) {
  Reasons reasons;
  compare_slots(needs, own, reasons);
  if (needs.vcpus != own.vcpus) {
    reasons.push_back(fmt::format("it has {} vCPUs, and {} are here", needs.vcpus, own.vcpus));
  }
  compare_chip(needs.has_local_apic, own.has_local_apic, "the local APIC", reasons);
  compare_chip(needs.has_interrupt_chips, own.has_interrupt_chips, "the interrupt controller", reasons);
  compare_chip(needs.has_timer_chip, own.has_timer_chip, "the timer chip", reasons);
  compare_processor(needs, host, reasons);
  compare_registers(needs, host, reasons);
  compare_tsc(needs, host, reasons);
  if (reasons.empty()) return {};
  return fail(ErrorCode::refused, fmt::format("this VM cannot run here: {}", fmt::join(reasons, "; ")),
              "make the VM there and the one here alike, with CPUID features that both hosts support");
}

Result<> check_even(const CpuidEntries& first, const std::vector<CpuidEntries>& vcpus) {
  for (std::size_t number = 0; number < vcpus.size(); ++number) {
    const auto extra = extra_features(vcpus[number], first);
    if (extra.empty()) continue;
    return fail(
        ErrorCode::refused,
        fmt::format("vCPU {} has features that the first has not: {}", number, fmt::join(extra, ", ")),
        "give all vCPUs the same CPUID, but for their numbers");
  }
  return {};
}

Result<> check_movable(const Needs& own, const std::vector<CpuidEntries>& vcpus) {
  if (auto even = check_even(own.cpuid, vcpus); !even) return even;
  const auto nesting = nesting_feature(own.cpuid);
  if (nesting.empty()) return {};
  return fail(ErrorCode::refused,
              fmt::format("the VM may run VMs of its own ({}), and their state cannot be moved yet", nesting),
              fmt::format("leave {} out of the CPUID that the VM is given", nesting));
}

}  // namespace vmigrate::kvm
