#include "kvm/cpu_features.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace vmigrate::kvm {
namespace {

enum class Register { eax, ebx, ecx, edx };

/// A register all of whose bits say that something is there.
struct FeatureRegister {
  std::uint32_t function;
  std::uint32_t index;
  Register where;
  std::string_view names;  // of the bits from 0 on, one word each; "-" has none
  /// Bits that say nothing about the processor: what the guest has switched on itself, that it is in a VM,
  /// how its vCPUs are arranged.
  std::uint32_t ignored = 0;
};

constexpr std::uint32_t bit(unsigned number) {
  return std::uint32_t{1} << number;
}

constexpr unsigned kTscDeadlineBit = 24;  // of 1.ECX: KVM does not list it, and has a capability instead

constexpr std::array<FeatureRegister, 19> kRegisters{{
    {1, 0, Register::ecx,
     "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca "
     "sse4_1 "
     "sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor",
     bit(27) | bit(31) | bit(kTscDeadlineBit)},
    {1, 0, Register::edx,
     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx "
     "fxsr sse "
     "sse2 ss ht tm ia64 pbe",
     bit(28)},
    {7, 0, Register::ebx,
     "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm zero_fcs_fds mpx "
     "rdt_a "
     "avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd "
     "sha_ni "
     "avx512bw avx512vl",
     0},
    {7, 0, Register::ecx,
     "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni "
     "avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri "
     "movdir64b "
     "enqcmd sgx_lc pks",
     bit(4)},
    {7, 0, Register::edx,
     "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect - md_clear - - - serialize - "
     "tsxldtrk - "
     "pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d "
     "arch_capabilities core_capabilities spec_ctrl_ssbd",
     0},
    {7, 1, Register::eax, "sha512 sm3 sm4 - avx_vnni avx512_bf16", 0},
    {7, 1, Register::ecx, "- - - - - msr_imm", 0},
    {7, 1, Register::edx,
     "- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - avx_vnni_int16 - - - prefetchiti - - - - avx10",
     0},
    {7, 2, Register::edx, "intel_psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no", 0},
    {0xd, 0, Register::eax, "x87-state sse-state avx-state bndregs-state bndcsr-state opmask-state zmm-state",
     0},
    {0xd, 0, Register::edx, "", 0},
    {0xd, 1, Register::eax, "xsaveopt xsavec xgetbv1 xsaves xfd", 0},
    {0x80000001, 0, Register::ecx,
     "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt "
     "- lwp "
     "fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx",
     bit(1)},
    {0x80000001, 0, Register::edx,
     "fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov pat pse36 - mp nx - mmxext mmx "
     "fxsr "
     "fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
     0},
    {0x80000007, 0, Register::edx, "- - - - - - - - constant_tsc", 0},
    {0x80000008, 0, Register::ebx,
     "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - ibpb - ibrs stibp - stibp_always_on - - - - - "
     "amd_ppin ssbd virt_ssbd ssb_no cppc",
     0},
    {0x80000021, 0, Register::eax,
     "no_nested_data_bp - lfence_rdtsc - - - null_sel_clr_base - autoibrs no_smm_ctl_msr", 0},
    {0x24, 0, Register::ebx, "- - - - - - - - - - - - - - - - avx10_128 avx10_256 avx10_512", 0xffff},
    {0x40000001, 0, Register::eax,
     "kvmclock kvm_nopiodelay kvm_mmu_op kvmclock2 kvm_asyncpf kvm_steal_time kvm_pv_eoi kvm_pv_unhalt - "
     "kvm_pv_tlb_flush kvm_asyncpf_vmexit kvm_pv_send_ipi kvm_poll_control kvm_pv_sched_yield "
     "kvm_asyncpf_int "
     "kvm_msi_ext_dest_id - - - - - - - - kvmclock_stable",
     0},
}};

std::uint32_t value_of(const CpuidEntries& entries, const FeatureRegister& wanted) {
  for (const auto& entry : entries) {
    if (entry.function != wanted.function) continue;
    const bool indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
    if ((indexed ? entry.index : 0) != wanted.index) continue;
    switch (wanted.where) {
      case Register::eax: return entry.eax;
      case Register::ebx: return entry.ebx;
      case Register::ecx: return entry.ecx;
      case Register::edx: return entry.edx;
    }
  }
  return 0;
}

std::string name_of(const FeatureRegister& where, unsigned number) {
  auto names = where.names;
  for (unsigned i = 0; i < number && !names.empty(); ++i) {
    const auto space = names.find(' ');
    names = space == std::string_view::npos ? std::string_view() : names.substr(space + 1);
  }
  const auto name = names.substr(0, names.find(' '));
  if (!name.empty() && name != "-") return std::string(name);
  constexpr std::array<std::string_view, 4> registers{"EAX", "EBX", "ECX", "EDX"};
  return fmt::format("CPUID {:#x}.{} {} bit {}", where.function, where.index,
                     registers[static_cast<std::size_t>(where.where)], number);
}

bool has(const CpuidEntries& entries, std::uint32_t function, unsigned number) {
  return (value_of(entries, {function, 0, Register::ecx, {}}) & bit(number)) != 0;
}

unsigned address_bits(const CpuidEntries& entries) {
  return value_of(entries, {0x80000008, 0, Register::eax, {}}) & 0xff;
}

/// Its version; 0: there is none. A later one has everything that an earlier one has.
unsigned avx10_version(const CpuidEntries& entries) {
  return value_of(entries, {0x24, 0, Register::ebx, {}}) & 0xff;
}

/// Whether any of the hosts has as much as the guest.
bool reaches(unsigned (*measure)(const CpuidEntries&), const CpuidEntries& guest,
             const std::vector<CpuidEntries>& hosts) {
  return std::ranges::any_of(hosts, [&](const auto& host) { return measure(guest) <= measure(host); });
}

}  // namespace

std::vector<std::string> missing_features(const CpuidEntries& guest, const std::vector<CpuidEntries>& host,
                                          bool has_tsc_deadline) {
  std::vector<std::string> missing;
  for (const auto& where : kRegisters) {
    auto absent = value_of(guest, where) & ~where.ignored;
    for (const auto& entries : host) absent &= ~value_of(entries, where);
    for (unsigned number = 0; number < 32; ++number) {
      if ((absent & bit(number)) != 0) missing.push_back(name_of(where, number));
    }
  }
  if (has(guest, 1, kTscDeadlineBit) && !has_tsc_deadline) missing.emplace_back("tsc_deadline_timer");
  if (!reaches(address_bits, guest, host)) {
    missing.push_back(fmt::format("physical addresses of {} bits", address_bits(guest)));
  }
  if (!reaches(avx10_version, guest, host)) {
    missing.push_back(fmt::format("version {} of AVX10", avx10_version(guest)));
  }
  return missing;
}

std::vector<std::string> extra_features(const CpuidEntries& vcpu, const CpuidEntries& first) {
  return missing_features(vcpu, {first}, has(first, 1, kTscDeadlineBit));
}

std::string nesting_feature(const CpuidEntries& guest) {
  if (has(guest, 1, 5)) return "vmx";
  return has(guest, 0x80000001, 2) ? "svm" : "";
}

}  // namespace vmigrate::kvm
