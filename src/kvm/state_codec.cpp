#include "kvm/state_codec.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_set>

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "kvm/stream_names.hpp"
#include "vmigrate/kvm_state.pb.h"

namespace vmigrate::kvm {
namespace {

constexpr std::uint32_t kVersion = 1;
// KVM_MAX_CPUID_ENTRIES is 256; kernels list some hundred MSRs, and have 32764 memory slots at most.
constexpr int kMostCpuidEntries = 256;
constexpr int kMostMsrs = 4096;
constexpr int kMostSlots = 32768;

template <class Structure>
std::string bytes_of(const Structure& structure) {
  return std::string(reinterpret_cast<const char*>(&structure), sizeof structure);
}

template <class Message>
ByteBuffer serialised(const Message& message) {
  ByteBuffer bytes(message.ByteSizeLong());
  message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

tl::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::refused, std::move(message));
}

template <class Structure>
Result<> take(Structure& structure, const std::string& bytes, const char* name) {
  if (bytes.size() != sizeof structure) {
    return bad(
        fmt::format("the state's {} has {} bytes instead of {}", name, bytes.size(), sizeof structure));
  }
  std::memcpy(&structure, bytes.data(), sizeof structure);
  return {};
}

template <class Field>
void put_cpuid(const CpuidEntries& entries, Field* field) {
  for (const auto& entry : entries) {
    auto& message = *field->Add();
    message.set_function(entry.function);
    message.set_index(entry.index);
    message.set_flags(entry.flags);
    message.set_eax(entry.eax);
    message.set_ebx(entry.ebx);
    message.set_ecx(entry.ecx);
    message.set_edx(entry.edx);
  }
}

template <class Field>
CpuidEntries take_cpuid(const Field& field) {
  CpuidEntries entries;
  entries.reserve(static_cast<std::size_t>(field.size()));
  for (const auto& message : field) {
    entries.push_back({message.function(),
                       message.index(),
                       message.flags(),
                       message.eax(),
                       message.ebx(),
                       message.ecx(),
                       message.edx(),
                       {}});
  }
  return entries;
}

template <class Field>
void put_msrs(const std::vector<kvm_msr_entry>& msrs, Field* field) {
  for (const auto& msr : msrs) {
    auto& message = *field->Add();
    message.set_index(msr.index);
    message.set_value(msr.data);
  }
}

void put_vcpu(const VcpuState& vcpu, kvm_state::VcpuState& message) {
  put_cpuid(vcpu.cpuid, message.mutable_cpuid());
  message.set_tsc_khz(vcpu.tsc_khz);
  message.set_mp_state(bytes_of(vcpu.mp_state));
  message.set_registers(bytes_of(vcpu.registers));
  message.set_special_registers(
      std::visit([](const auto& structure) { return bytes_of(structure); }, vcpu.special_registers));
  message.set_fpu(std::string(as_text(vcpu.fpu)));
  if (vcpu.extended_control) message.set_extended_control(bytes_of(*vcpu.extended_control));
  message.set_debug_registers(bytes_of(vcpu.debug_registers));
  if (vcpu.local_apic) message.set_local_apic(bytes_of(*vcpu.local_apic));
  put_msrs(vcpu.msrs, message.mutable_msrs());
  message.set_events(bytes_of(vcpu.events));
}

Result<> take_special_registers(VcpuState& vcpu, const std::string& bytes, const Needs& needs) {
  if (needs.has_wide_special_registers) {
    return take(vcpu.special_registers.emplace<kvm_sregs2>(), bytes, "special registers");
  }
  return take(vcpu.special_registers.emplace<kvm_sregs>(), bytes, "special registers");
}

Result<> take_fpu(VcpuState& vcpu, const kvm_state::VcpuState& message, const Needs& needs) {
  const auto expected = needs.xsave_size > 0 ? needs.xsave_size : sizeof(kvm_fpu);
  if (message.fpu().size() != expected) {
    return bad(fmt::format("the state's FPU has {} bytes instead of {}", message.fpu().size(), expected));
  }
  vcpu.fpu = copy_of(as_byte_view(message.fpu()));
  if (needs.xsave_size == 0) return {};
  return take(vcpu.extended_control.emplace(), message.extended_control(), "extended control registers");
}

Result<VcpuState> take_vcpu(const kvm_state::VcpuState& message, const Needs& needs) {
  VcpuState vcpu;
  if (message.cpuid_size() > kMostCpuidEntries || message.msrs_size() > static_cast<int>(needs.msrs.size()))
    return bad(fmt::format("the state has {} CPUID entries and {} MSRs of a vCPU", message.cpuid_size(),
                           message.msrs_size()));
  vcpu.cpuid = take_cpuid(message.cpuid());
  vcpu.tsc_khz = message.tsc_khz();
  if (auto taken = take(vcpu.mp_state, message.mp_state(), "MP state"); !taken) return fail(taken.error());
  if (auto taken = take(vcpu.registers, message.registers(), "registers"); !taken) return fail(taken.error());
  if (auto taken = take_special_registers(vcpu, message.special_registers(), needs); !taken) {
    return fail(taken.error());
  }
  if (auto taken = take_fpu(vcpu, message, needs); !taken) return fail(taken.error());
  if (auto taken = take(vcpu.debug_registers, message.debug_registers(), "debug registers"); !taken) {
    return fail(taken.error());
  }
  if (needs.has_local_apic) {
    auto taken = take(vcpu.local_apic.emplace(), message.local_apic(), "local APIC");
    if (!taken) return fail(taken.error());
  }
  for (const auto& msr : message.msrs()) {
    if (std::find(needs.msrs.begin(), needs.msrs.end(), msr.index()) == needs.msrs.end()) {
      return bad(fmt::format("the state has MSR {:#x}, which it did not ask for", msr.index()));
    }
    vcpu.msrs.push_back({msr.index(), 0, msr.value()});
  }
  if (auto taken = take(vcpu.events, message.events(), "events"); !taken) return fail(taken.error());
  return vcpu;
}

Result<BoardState> take_board(const kvm_state::State& message, const Needs& needs) {
  constexpr int chips = 3;
  BoardState board;
  if (message.interrupt_chips_size() != (needs.has_interrupt_chips ? chips : 0)) {
    return bad(fmt::format("the state has {} interrupt chips", message.interrupt_chips_size()));
  }
  for (const auto& bytes : message.interrupt_chips()) {
    auto taken = take(board.interrupt_chips.emplace_back(), bytes, "interrupt chip");
    if (!taken) return fail(taken.error());
    // It says itself which it is, and the kernel goes by that.
    if (board.interrupt_chips.back().chip_id != board.interrupt_chips.size() - 1) {
      return bad("the state's interrupt chips are in disorder");
    }
  }
  if (needs.has_timer_chip) {
    auto taken = take(board.timer_chip.emplace(), message.timer_chip(), "timer chip");
    if (!taken) return fail(taken.error());
  }
  board.clock = message.clock();
  return board;
}

Result<> take_digest(State& state, const kvm_state::State& message) {
  state.stream_bytes = message.stream_bytes();
  const auto digest = as_byte_view(message.stream_digest());
  if (digest.size() != state.stream_digest.size()) return bad("the state has no checksum of the memory");
  std::copy(digest.begin(), digest.end(), state.stream_digest.begin());
  return {};
}

/// A field of two bytes becomes an object of fifty: before that is done, all but the devices' state, which
/// stays bytes, has to be as small as it can be for so many vCPUs.
Result<> check_sizes(ByteView bytes, std::uint32_t vcpus) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  std::size_t small = 0;
  while (const auto tag = input.ReadTag()) {
    const auto before = input.CurrentPosition();
    if (!WireFormatLite::SkipField(&input, tag)) return bad("the VM's state cannot be read: it is broken");
    const bool devices = WireFormatLite::GetTagFieldNumber(tag) == kvm_state::State::kDevicesFieldNumber;
    small += devices ? 0 : static_cast<std::size_t>(input.CurrentPosition() - before) + 1;
  }
  if (small <= largest_state(vcpus) - kLargestDevices) return {};
  return bad(
      fmt::format("the VM's state has {} bytes beside its devices, too many for {} vCPUs", small, vcpus));
}

Result<> check_counts(const kvm_state::Needs& message) {
  if (message.slots_size() > kMostSlots || message.cpuid_size() > kMostCpuidEntries ||
      message.msrs_size() > kMostMsrs || message.fixed_msrs_size() > kMostMsrs) {
    return bad(fmt::format(
        "the VM's list of needs is too long: {} memory slots, {} CPUID entries, {} and {} MSRs",
        message.slots_size(), message.cpuid_size(), message.msrs_size(), message.fixed_msrs_size()));
  }
  std::unordered_set<std::string_view> names;
  for (const auto& slot : message.slots()) {
    if (!names.insert(slot.name()).second)
      return bad(fmt::format("the VM has two memory slots that are called '{}'", slot.name()));
  }
  return {};
}

template <class Message>
Result<> parse(Message& message, ByteView bytes, const char* what) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return bad(fmt::format("the VM's {} cannot be read: it is broken or cut short", what));
  }
  if (message.version() == 0 || message.version() > kVersion) {
    return fail(ErrorCode::refused,
                fmt::format("the VM's {} has version {}, and {} is the newest known here", what,
                            message.version(), kVersion),
                "use at least the version of vmigrate here that is used there");
  }
  return {};
}

}  // namespace

ByteBuffer encode(const Needs& needs) {
  kvm_state::Needs message;
  message.set_version(kVersion);
  message.set_processor_vendor(needs.processor_vendor);
  for (const auto& slot : needs.slots) {
    auto& entry = *message.add_slots();
    entry.set_name(slot.name);
    entry.set_guest_address(slot.guest_address);
    entry.set_size(slot.size);
    entry.set_read_only(slot.read_only);
  }
  message.set_vcpus(needs.vcpus);
  put_cpuid(needs.cpuid, message.mutable_cpuid());
  for (const auto msr : needs.msrs) message.add_msrs(msr);
  message.set_tsc_khz(needs.tsc_khz);
  message.set_xsave_size(needs.xsave_size);
  message.set_has_local_apic(needs.has_local_apic);
  message.set_has_interrupt_chips(needs.has_interrupt_chips);
  message.set_has_timer_chip(needs.has_timer_chip);
  message.set_has_wide_special_registers(needs.has_wide_special_registers);
  put_msrs(needs.fixed_msrs, message.mutable_fixed_msrs());
  return serialised(message);
}

ByteBuffer encode(const State& state) {
  kvm_state::State message;
  message.set_version(kVersion);
  message.set_stream_bytes(state.stream_bytes);
  message.set_stream_digest(std::string(as_text(state.stream_digest)));
  for (const auto& vcpu : state.vcpus) put_vcpu(vcpu, *message.add_vcpus());
  for (const auto& chip : state.board.interrupt_chips) message.add_interrupt_chips(bytes_of(chip));
  if (state.board.timer_chip) message.set_timer_chip(bytes_of(*state.board.timer_chip));
  message.set_clock(state.board.clock);
  for (const auto& name : state.removed_slots) message.add_removed_slots(name);
  message.set_devices(std::string(as_text(state.devices)));
  return serialised(message);
}

Result<Needs> decode_needs(ByteView bytes) {
  kvm_state::Needs message;
  if (auto parsed = parse(message, bytes, "list of needs"); !parsed) return fail(parsed.error());
  if (auto checked = check_counts(message); !checked) return fail(checked.error());
  Needs needs;
  needs.processor_vendor = message.processor_vendor();
  for (const auto& slot : message.slots()) {
    needs.slots.push_back({slot.name(), slot.guest_address(), slot.size(), slot.read_only()});
  }
  needs.vcpus = message.vcpus();
  needs.cpuid = take_cpuid(message.cpuid());
  needs.msrs.assign(message.msrs().begin(), message.msrs().end());
  needs.tsc_khz = message.tsc_khz();
  needs.xsave_size = message.xsave_size();
  needs.has_local_apic = message.has_local_apic();
  needs.has_interrupt_chips = message.has_interrupt_chips();
  needs.has_timer_chip = message.has_timer_chip();
  needs.has_wide_special_registers = message.has_wide_special_registers();
  for (const auto& msr : message.fixed_msrs()) needs.fixed_msrs.push_back({msr.index(), 0, msr.value()});
  return needs;
}

Result<State> decode_state(ByteView bytes, const Needs& needs) {
  kvm_state::State message;
  if (auto checked = check_sizes(bytes, needs.vcpus); !checked) return fail(checked.error());
  if (auto parsed = parse(message, bytes, "state"); !parsed) return fail(parsed.error());
  State state;
  if (auto taken = take_digest(state, message); !taken) return fail(taken.error());
  if (message.vcpus_size() != static_cast<int>(needs.vcpus)) {
    return bad(fmt::format("the state has {} vCPUs instead of {}", message.vcpus_size(), needs.vcpus));
  }
  for (const auto& entry : message.vcpus()) {
    auto vcpu = take_vcpu(entry, needs);
    if (!vcpu) return fail(vcpu.error());
    state.vcpus.push_back(std::move(*vcpu));
  }
  auto board = take_board(message, needs);
  if (!board) return fail(board.error());
  state.board = std::move(*board);
  if (message.removed_slots_size() > static_cast<int>(needs.slots.size()))
    return bad(fmt::format("the state has {} removed memory slots", message.removed_slots_size()));
  state.removed_slots.assign(message.removed_slots().begin(), message.removed_slots().end());
  state.devices = copy_of(as_byte_view(message.devices()));
  return state;
}

}  // namespace vmigrate::kvm
