#include "kvm/vcpu_state.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "kvm/calls.hpp"
#include "kvm/counted.hpp"

namespace vmigrate::kvm {
namespace {

constexpr std::uint32_t kTsc = 0x10;
constexpr std::uint32_t kTscDeadlineMsr = 0x6e0;

using MsrBuffer = Counted<MsrHead, kvm_msr_entry>;

Result<std::size_t> msr_call(int vcpu, unsigned long request, MsrBuffer& buffer, std::size_t count) {
  buffer.head()->count = static_cast<std::uint32_t>(count);
  const auto done = call(vcpu, request, buffer.head(), request == kGetMsrs ? "reading MSRs" : "writing MSRs");
  if (!done) return fail(done.error());
  return static_cast<std::size_t>(*done);
}

bool has_value(int vcpu, const kvm_msr_entry& wanted) {
  MsrBuffer buffer(1);
  buffer.put(&wanted, 1);
  const auto read = msr_call(vcpu, kGetMsrs, buffer, 1);
  return read && *read == 1 && buffer.take(1)[0].data == wanted.data;
}

// KVM stops at the first that it does not take. One that has its value already (many can only be read) is no
// loss; of any other the VM would miss something.
Result<> write_msrs(int vcpu, const std::vector<kvm_msr_entry>& entries) {
  for (std::size_t from = 0; from < entries.size();) {
    const auto left = entries.size() - from;
    MsrBuffer buffer(left);
    buffer.put(entries.data() + from, left);
    const auto written = msr_call(vcpu, kSetMsrs, buffer, left);
    if (!written) return fail(written.error());
    from += *written;
    if (from == entries.size()) break;
    if (!has_value(vcpu, entries[from])) {
      return fail(ErrorCode::refused, fmt::format("this host does not take the value {:#x} of MSR {:#x}",
                                                  entries[from].data, entries[from].index));
    }
    ++from;
  }
  return {};
}

// The time stamp counter first, since the deadline is compared with it. The deadline last, and after the
// local APIC, whose timer it arms.
std::vector<kvm_msr_entry> in_order(std::vector<kvm_msr_entry> entries) {
  const auto rank = [](const kvm_msr_entry& entry) {
    return entry.index == kTsc ? 0 : (entry.index == kTscDeadlineMsr ? 2 : 1);
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const auto& left, const auto& right) { return rank(left) < rank(right); });
  return entries;
}

/// Calls until one fails.
class Calls {
 public:
  explicit Calls(int vcpu) : vcpu_(vcpu) {}

  template <class Structure>
  Calls& then(unsigned long request, Structure* structure, const char* what) {
    if (result_) {
      if (auto done = call(vcpu_, request, structure, what); !done) result_ = fail(done.error());
    }
    return *this;
  }
  Result<> result() const { return result_; }

 private:
  int vcpu_;
  Result<> result_;
};

void read_fpu(Calls& calls, VcpuState& state, const Needs& shape) {
  state.fpu.resize(shape.xsave_size > 0 ? shape.xsave_size : sizeof(kvm_fpu));
  if (shape.xsave_size == 0) {
    calls.then(KVM_GET_FPU, state.fpu.data(), "reading the FPU");
    return;
  }
  // The first form writes 4096 bytes whatever there is.
  const bool large = shape.xsave_size > kXsaveSize;
  calls.then(large ? kGetXsave2 : kGetXsave, state.fpu.data(), "reading XSAVE")
      .then(KVM_GET_XCRS, &state.extended_control.emplace(), "reading XCRs");
}

}  // namespace

Result<std::vector<std::uint32_t>> readable_msrs(int vcpu, const std::vector<std::uint32_t>& known) {
  std::vector<std::uint32_t> readable;
  for (const auto index : known) {
    MsrBuffer buffer(1);
    const kvm_msr_entry entry{index, 0, 0};
    buffer.put(&entry, 1);
    const auto read = msr_call(vcpu, kGetMsrs, buffer, 1);
    if (!read) return fail(read.error());
    if (*read == 1) readable.push_back(index);
  }
  return readable;
}

Result<std::vector<kvm_msr_entry>> read_msrs(int vcpu, const std::vector<std::uint32_t>& indices) {
  std::vector<kvm_msr_entry> entries;
  entries.reserve(indices.size());
  for (const auto index : indices) entries.push_back({index, 0, 0});
  MsrBuffer buffer(entries.size());
  buffer.put(entries.data(), entries.size());
  const auto read = msr_call(vcpu, kGetMsrs, buffer, entries.size());
  if (!read) return fail(read.error());
  if (*read != entries.size()) {
    return fail(ErrorCode::failed, fmt::format("MSR {:#x} cannot be read any more", indices[*read]));
  }
  return buffer.take(entries.size());
}

Result<> try_vcpu(int vcpu, const Needs& needs) {
  auto tried = write_cpuid(vcpu, needs.cpuid);
  if (tried) tried = write_msrs(vcpu, needs.fixed_msrs);
  if (tried) return {};
  return fail(ErrorCode::refused, fmt::format("this VM cannot run here: {}", tried.error().message),
              "make the VM there and the one here alike, with what both hosts support");
}

// Reading has effects of its own: KVM_GET_MP_STATE makes a vCPU take INIT and SIPI that wait, and
// KVM_GET_LAPIC brings the APIC up to date; what is read after them has those effects in it. So the events
// come last.
Result<VcpuState> save_vcpu(int vcpu, const Needs& shape) {
  VcpuState state;
  Calls calls(vcpu);
  calls.then(KVM_GET_MP_STATE, &state.mp_state, "reading the MP state")
      .then(KVM_GET_REGS, &state.registers, "reading registers");
  if (shape.has_wide_special_registers) {
    calls.then(KVM_GET_SREGS2, &state.special_registers.emplace<kvm_sregs2>(), "reading special registers");
  } else {
    calls.then(KVM_GET_SREGS, &state.special_registers.emplace<kvm_sregs>(), "reading special registers");
  }
  read_fpu(calls, state, shape);
  calls.then(KVM_GET_DEBUGREGS, &state.debug_registers, "reading debug registers");
  if (shape.has_local_apic) calls.then(KVM_GET_LAPIC, &state.local_apic.emplace(), "reading the local APIC");
  if (auto done = calls.result(); !done) return fail(done.error());
  auto msrs = read_msrs(vcpu, shape.msrs);
  if (!msrs) return fail(msrs.error());
  state.msrs = std::move(*msrs);
  auto cpuid = read_cpuid(vcpu);
  if (!cpuid) return fail(cpuid.error());
  state.cpuid = std::move(*cpuid);
  state.tsc_khz = shape.tsc_khz;
  calls.then(KVM_GET_VCPU_EVENTS, &state.events, "reading events");
  if (auto done = calls.result(); !done) return fail(done.error());
  return state;
}

// What depends on what: everything on CPUID; the TSC's value on its frequency; the local APIC on its base
// address, which is a special register; the APIC's timer on the TSC, and the deadline on both. Setting
// registers drops exceptions that are pending, so the events come last.
Result<> load_vcpu(int vcpu, const VcpuState& state, const Needs& shape) {
  if (auto done = write_cpuid(vcpu, state.cpuid); !done) return done;
  const auto khz = ::ioctl(vcpu, KVM_GET_TSC_KHZ, 0);
  if (state.tsc_khz != 0 && khz > 0 && static_cast<std::uint64_t>(khz) != state.tsc_khz) {
    const auto set = call(vcpu, KVM_SET_TSC_KHZ, state.tsc_khz, "setting the TSC's frequency");
    if (!set) return fail(set.error());
  }
  auto copy = state;  // the kernel's interface takes pointers that are not const
  Calls calls(vcpu);
  calls.then(KVM_SET_MP_STATE, &copy.mp_state, "writing the MP state")
      .then(KVM_SET_REGS, &copy.registers, "writing registers");
  if (auto* wide = std::get_if<kvm_sregs2>(&copy.special_registers)) {
    calls.then(KVM_SET_SREGS2, wide, "writing special registers");
  } else {
    calls.then(KVM_SET_SREGS, std::get_if<kvm_sregs>(&copy.special_registers), "writing special registers");
  }
  if (copy.extended_control) {
    calls.then(KVM_SET_XCRS, &*copy.extended_control, "writing XCRs");
    // This host's structure may be larger than the source's.
    copy.fpu.resize(std::max<std::size_t>(copy.fpu.size(), shape.xsave_size));
    calls.then(kSetXsave, copy.fpu.data(), "writing XSAVE");
  } else {
    calls.then(KVM_SET_FPU, copy.fpu.data(), "writing the FPU");
  }
  calls.then(KVM_SET_DEBUGREGS, &copy.debug_registers, "writing debug registers");
  if (copy.local_apic) calls.then(KVM_SET_LAPIC, &*copy.local_apic, "writing the local APIC");
  if (auto done = calls.result(); !done) return done;
  if (auto done = write_msrs(vcpu, in_order(state.msrs)); !done) return done;
  return calls.then(KVM_SET_VCPU_EVENTS, &copy.events, "writing events").result();
}

}  // namespace vmigrate::kvm
