#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "fixture.hpp"
#include "kvm/counted.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

// Offsets of the local APIC's registers.
constexpr std::size_t kTaskPriority = 0x80;
constexpr std::size_t kLogicalDestination = 0xd0;
constexpr std::size_t kSpuriousVector = 0xf0;
constexpr std::size_t kInService = 0x100;
constexpr std::size_t kRequested = 0x200;
constexpr std::size_t kCommandLow = 0x300;
constexpr std::size_t kCommandHigh = 0x310;
constexpr std::size_t kTimer = 0x320;
constexpr std::size_t kPerformance = 0x340;
constexpr std::size_t kError = 0x370;
constexpr std::size_t kInitialCount = 0x380;
constexpr std::size_t kCurrentCount = 0x390;
constexpr std::size_t kDivide = 0x3e0;

template <class Structure>
Structure get(int file, unsigned long request, Structure structure = {}) {
  EXPECT_EQ(::ioctl(file, request, &structure), 0) << fmt::format("request {:#x}, errno {}", request, errno);
  return structure;
}

template <class Structure>
void set(int file, unsigned long request, Structure structure) {
  ASSERT_EQ(::ioctl(file, request, &structure), 0) << fmt::format("request {:#x}, errno {}", request, errno);
}

std::uint32_t read(const kvm_lapic_state& apic, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, apic.regs + offset, sizeof value);
  return value;
}

void write(kvm_lapic_state& apic, std::size_t offset, std::uint32_t value) {
  std::memcpy(apic.regs + offset, &value, sizeof value);
}

/// For KVM's requests about MSRs: the time stamp counter.
struct TimeStampCounter {
  MsrHead head{1, 0};
  kvm_msr_entry entry{0x10, 0, 0};
};

/// What stands still while a VM does, as KVM tells it, by name.
using RawState = std::map<std::string, std::string>;

template <class Structure>
std::string bytes_of(const Structure& structure) {
  return std::string(reinterpret_cast<const char*>(&structure), sizeof structure);
}

RawState raw_state(int vm, int vcpu) {
  auto apic = get<kvm_lapic_state>(vcpu, KVM_GET_LAPIC);
  write(apic, kCurrentCount, 0);
  const auto special = get<kvm_sregs>(vcpu, KVM_GET_SREGS);
  const auto debug = get<kvm_debugregs>(vcpu, KVM_GET_DEBUGREGS);
  RawState state{{"MP state", bytes_of(get<kvm_mp_state>(vcpu, KVM_GET_MP_STATE))},
                 {"registers", bytes_of(get<kvm_regs>(vcpu, KVM_GET_REGS))},
                 {"special registers", bytes_of(special)},
                 {"CR2", bytes_of(special.cr2)},
                 {"XCRs", bytes_of(get<kvm_xcrs>(vcpu, KVM_GET_XCRS))},
                 {"XSAVE", bytes_of(get<Xsave>(vcpu, kGetXsave))},
                 {"DR6", bytes_of(debug.dr6)},
                 {"DR7", bytes_of(debug.dr7)},
                 {"local APIC", bytes_of(apic)},
                 {"events", bytes_of(get<kvm_vcpu_events>(vcpu, KVM_GET_VCPU_EVENTS))}};
  for (std::size_t i = 0; i < std::size(debug.db); ++i) state[fmt::format("DR{}", i)] = bytes_of(debug.db[i]);
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  state["IOAPIC"] = bytes_of(get(vm, KVM_GET_IRQCHIP, chip));
  return state;
}

/// Counters that go on while a VM stands still.
struct Counters {
  std::uint64_t clock = 0;
  std::uint64_t tsc = 0;
  std::uint32_t apic_count = 0;  ///< counts down
};

Counters counters(int vm, int vcpu) {
  TimeStampCounter tsc;
  EXPECT_EQ(::ioctl(vcpu, kGetMsrs, &tsc), 1);
  return {get<kvm_clock_data>(vm, KVM_GET_CLOCK).clock, tsc.entry.data,
          read(get<kvm_lapic_state>(vcpu, KVM_GET_LAPIC), kCurrentCount)};
}

/// No two vCPUs get the same, nor what one that was just made has.
void set_odd_registers(int vcpu, std::uint32_t number) {
  auto registers = get<kvm_regs>(vcpu, KVM_GET_REGS);
  // KVM takes one that stands at the reset vector for one that was reset, which does not halt.
  registers.rip = 0x1000;
  registers.rdi = 0x1357 + number;
  set(vcpu, KVM_SET_REGS, registers);
  auto special = get<kvm_sregs>(vcpu, KVM_GET_SREGS);
  special.cr2 = 0x12345678 + number;
  set(vcpu, KVM_SET_SREGS, special);
  auto control = get<kvm_xcrs>(vcpu, KVM_GET_XCRS);
  control.xcrs[0].value = 3;
  set(vcpu, KVM_SET_XCRS, control);
  // The x87 control word, a byte of XMM0, and that neither is as it was made.
  auto fpu = get<Xsave>(vcpu, kGetXsave);
  fpu.region[0] = std::byte{0x70};
  fpu.region[160] = static_cast<std::byte>(0x5a + number);
  fpu.region[512] = std::byte{3};
  set(vcpu, kSetXsave, fpu);
  kvm_debugregs debug{};
  for (std::uint32_t i = 0; i < std::size(debug.db); ++i) debug.db[i] = 0x400000 + 0x100 * number + i;
  debug.dr6 = 0xffff0ff1 + number;
  debug.dr7 = 0x00010402 + number;
  set(vcpu, KVM_SET_DEBUGREGS, debug);
}

// Its timer runs, for minutes, and interrupts nobody.
void set_odd_local_apic(int vcpu, std::uint32_t number) {
  auto apic = get<kvm_lapic_state>(vcpu, KVM_GET_LAPIC);
  constexpr std::uint32_t masked = 1U << 16;
  const std::map<std::size_t, std::uint32_t> values{{kTaskPriority, 0x50 + number},
                                                    {kLogicalDestination, 0x04000000U << number},
                                                    {kSpuriousVector, 0x1f0 + number},
                                                    {kInService + 0x20, 0x10U << number},
                                                    {kRequested + 0x30, 0x02U << number},
                                                    {kCommandLow, 0x000000e3 + number},
                                                    {kCommandHigh, 0x03000000},
                                                    {kTimer, masked | (0x45 + number)},
                                                    {kPerformance, 0x91 + number},
                                                    {kError, 0xa1 + number},
                                                    {kDivide, 0xa},
                                                    {kInitialCount, 0xffff0000},
                                                    {kCurrentCount, 0xf0000000}};
  for (const auto& [offset, value] : values) write(apic, offset, value);
  set(vcpu, KVM_SET_LAPIC, apic);
}

// An exception that was on its way into the guest, and a time at which no NMI may come.
void set_odd_events(int vcpu, std::uint32_t number) {
  auto events = get<kvm_vcpu_events>(vcpu, KVM_GET_VCPU_EVENTS);
  events.exception.injected = 1;
  events.exception.nr = 13;
  events.exception.has_error_code = 1;
  events.exception.error_code = 0x18 + 8 * number;
  events.nmi.masked = 1;
  events.nmi.pending = 1;
  set(vcpu, KVM_SET_VCPU_EVENTS, events);
}

void set_odd_state(const VirtualMachine& vm) {
  const auto description = vm.description();
  for (std::uint32_t number = 0; number < description.vcpus.size(); ++number) {
    const int vcpu = description.vcpus[number];
    set_odd_registers(vcpu, number);
    set_odd_local_apic(vcpu, number);
    TimeStampCounter tsc;
    tsc.entry.data = std::uint64_t{1} << 40;
    ASSERT_EQ(::ioctl(vcpu, kSetMsrs, &tsc), 1);
    // A new VM's first vCPU could run, and all others wait to be started.
    kvm_mp_state state{KVM_MP_STATE_RUNNABLE};
    if (number == 0) state.mp_state = KVM_MP_STATE_HALTED;
    set(vcpu, KVM_SET_MP_STATE, state);
    set_odd_events(vcpu, number);
  }
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  chip = get(description.vm, KVM_GET_IRQCHIP, chip);
  chip.chip.ioapic.redirtbl[5].bits = 0x0100000000010077;
  set(description.vm, KVM_SET_IRQCHIP, chip);
  kvm_clock_data clock{};
  clock.clock = 5'000'000'000'000;
  set(description.vm, KVM_SET_CLOCK, clock);
}

/// Names of what is the same in both.
std::vector<std::string> same_in(const RawState& left, const RawState& right) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : left) {
    if (right.at(name) == bytes) names.push_back(name);
  }
  return names;
}

class VcpuStateTest : public KvmTest {};

// What no guest of these tests would notice the loss of.
TEST_F(VcpuStateTest, ArrivesAsKvmHasIt) {
  const auto source = make(usual(2));
  const auto destination = make(usual(2));
  set_odd_state(*source);
  const auto here = source->description();
  const auto there = destination->description();
  std::vector<RawState> sent;
  std::vector<Counters> before;
  for (std::size_t i = 0; i < here.vcpus.size(); ++i) {
    sent.push_back(raw_state(here.vm, here.vcpus[i]));
    before.push_back(counters(here.vm, here.vcpus[i]));
    // Else it would not be seen that it is lost.
    EXPECT_EQ(same_in(sent[i], raw_state(there.vm, there.vcpus[i])), std::vector<std::string>()) << i;
  }
  const auto moved = move(*source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  for (std::size_t i = 0; i < here.vcpus.size(); ++i) {
    const auto arrived = raw_state(there.vm, there.vcpus[i]);
    for (const auto& [name, bytes] : sent[i]) EXPECT_TRUE(arrived.at(name) == bytes) << name << " of " << i;
    // They stand still from when they are read until they are loaded, and so stay behind those of the source.
    const auto now = counters(there.vm, there.vcpus[i]);
    const auto source_now = counters(here.vm, here.vcpus[i]);
    EXPECT_GE(now.clock, before[i].clock);
    EXPECT_LE(now.clock, source_now.clock);
    EXPECT_GE(now.tsc, before[i].tsc);
    EXPECT_LE(now.tsc, source_now.tsc);
    EXPECT_LE(now.apic_count, before[i].apic_count);
    EXPECT_GE(now.apic_count, source_now.apic_count);
  }
}

}  // namespace
}  // namespace vmigrate::kvm
