#include "kvm/host.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <linux/kvm.h>

#include "base/file_descriptor.hpp"
#include "kvm/calls.hpp"
#include "kvm/counted.hpp"
#include "kvm/vcpu_state.hpp"

namespace vmigrate::kvm {
namespace {

// KVM's own bound (KVM_MAX_CPUID_ENTRIES), and more MSRs than any kernel lists.
constexpr std::uint32_t kRoomForCpuid = 256;
constexpr std::uint32_t kRoomForMsrs = 4096;

using CpuidBuffer = Counted<CpuidHead, kvm_cpuid_entry2>;

Result<CpuidEntries> read_entries(int file, unsigned long request, const char* what) {
  CpuidBuffer buffer(kRoomForCpuid);
  if (auto done = call(file, request, buffer.head(), what); !done) return fail(done.error());
  return buffer.take(std::min(buffer.head()->count, kRoomForCpuid));
}

Result<std::vector<std::uint32_t>> read_msr_list(int kvm, unsigned long request) {
  Counted<MsrListHead, std::uint32_t> buffer(kRoomForMsrs);
  if (auto done = call(kvm, request, buffer.head(), "listing MSRs"); !done) return fail(done.error());
  return buffer.take(std::min(buffer.head()->count, kRoomForMsrs));
}

// Without KVM_CAP_XSAVE2 (Linux 5.17) the structure has always the same size.
std::uint32_t xsave_size(int vm) {
  if (extension(vm, KVM_CAP_XSAVE) == 0) return 0;
  return std::max(static_cast<std::uint32_t>(extension(vm, KVM_CAP_XSAVE2)),
                  static_cast<std::uint32_t>(kXsaveSize));
}

/// Registers that KVM_GET_MSR_INDEX_LIST leaves out although they are a vCPU's own: machine check banks and
/// memory types. Sources: "Machine-Check Architecture" and "Memory Type Range Registers" in Intel SDM volume
/// 3A; how many banks there are is the VMM's choice (KVM_X86_SETUP_MCE).
std::vector<std::uint32_t> unlisted_msrs() {
  struct Range {
    std::uint32_t first;
    std::uint32_t last;
  };
  constexpr std::array<Range, 7> ranges{{{0x179, 0x17b},  // machine check: what there is, and its state
                                         {0x200, 0x20f},  // memory types: variable ranges,
                                         {0x250, 0x250},  // fixed ones,
                                         {0x258, 0x259},
                                         {0x268, 0x26f},
                                         {0x280, 0x29f},    // machine check: interrupts of the banks,
                                         {0x400, 0x47f}}};  // and 32 banks of four
  std::vector<std::uint32_t> msrs{0x2ff};                   // memory types: the default
  for (const auto& range : ranges) {
    for (auto msr = range.first; msr <= range.last; ++msr) msrs.push_back(msr);
  }
  return msrs;
}

constexpr std::uint32_t kMachineCheckCapability = 0x179;

/// Those that KVM has a value of its own for, which is the most that it offers, and how machine checks are
/// told: KVM_X86_SETUP_MCE sets that.
Result<std::vector<std::uint32_t>> list_fixed_msrs(int kvm) {
  std::vector<std::uint32_t> fixed;
  if (extension(kvm, KVM_CAP_GET_MSR_FEATURES) != 0) {
    auto listed = read_msr_list(kvm, kGetMsrFeatureIndexList);
    if (!listed) return listed;
    fixed = std::move(*listed);
  }
  fixed.push_back(kMachineCheckCapability);
  return fixed;
}

// Some KVMs show their guests more than they list as supported (one that emulates all instructions shows
// those of the processor below). So a vCPU is made, given what is listed, and asked what it has.
Result<> look_at_new_vcpu(int kvm, Host& host) {
  const auto vm = call(kvm, KVM_CREATE_VM, 0, "making a VM to look at its CPUID");
  if (!vm) return fail(vm.error());
  const FileDescriptor vm_owner(*vm);
  const auto vcpu = call(*vm, KVM_CREATE_VCPU, 0, "making a vCPU to look at its CPUID");
  if (!vcpu) return fail(vcpu.error());
  const FileDescriptor vcpu_owner(*vcpu);
  if (auto set = write_cpuid(*vcpu, host.supported_cpuid); !set) return set;
  auto shown = read_cpuid(*vcpu);
  if (!shown) return fail(shown.error());
  host.shown_cpuid = std::move(*shown);
  const auto unlisted = readable_msrs(*vcpu, unlisted_msrs());
  if (!unlisted) return fail(unlisted.error());
  host.msrs.insert(host.msrs.end(), unlisted->begin(), unlisted->end());
  std::ranges::sort(host.msrs);
  const auto twice = std::ranges::unique(host.msrs);
  host.msrs.erase(twice.begin(), twice.end());
  return {};
}

}  // namespace

Result<Host> look_at_host(int kvm, int vm) {
  Host host;
  auto supported = read_entries(kvm, kGetSupportedCpuid, "reading what CPUID this host supports");
  if (!supported) return fail(supported.error());
  host.supported_cpuid = std::move(*supported);
  host.processor_vendor = vendor_of(host.supported_cpuid);
  auto msrs = read_msr_list(kvm, kGetMsrIndexList);
  if (!msrs) return fail(msrs.error());
  host.msrs = std::move(*msrs);
  auto fixed = list_fixed_msrs(kvm);
  if (!fixed) return fail(fixed.error());
  host.fixed_msrs = std::move(*fixed);
  if (auto looked = look_at_new_vcpu(kvm, host); !looked) return fail(looked.error());
  host.xsave_size = xsave_size(vm);
  host.can_scale_tsc = extension(vm, KVM_CAP_TSC_CONTROL) != 0;
  host.has_tsc_deadline = extension(vm, KVM_CAP_TSC_DEADLINE_TIMER) != 0;
  host.has_wide_special_registers = extension(vm, KVM_CAP_SREGS2) != 0;
  return host;
}

Result<CpuidEntries> read_cpuid(int vcpu) {
  return read_entries(vcpu, kGetCpuid2, "reading a vCPU's CPUID");
}

Result<> write_cpuid(int vcpu, const CpuidEntries& entries) {
  if (entries.size() > kRoomForCpuid) return fail(ErrorCode::refused, "a vCPU has too many CPUID entries");
  CpuidBuffer buffer(kRoomForCpuid);
  buffer.head()->count = static_cast<std::uint32_t>(entries.size());
  buffer.put(entries.data(), entries.size());
  if (auto done = call(vcpu, kSetCpuid2, buffer.head(), "setting a vCPU's CPUID"); !done) {
    return fail(done.error());
  }
  return {};
}

std::string vendor_of(const CpuidEntries& entries) {
  for (const auto& entry : entries) {
    if (entry.function != 0) continue;
    std::array<char, 12> name{};
    std::memcpy(name.data(), &entry.ebx, 4);
    std::memcpy(name.data() + 4, &entry.edx, 4);
    std::memcpy(name.data() + 8, &entry.ecx, 4);
    return std::string(name.data(), name.size());
  }
  return {};
}

}  // namespace vmigrate::kvm
