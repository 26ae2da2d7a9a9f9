#include "kvm/board_state.hpp"

#include "kvm/calls.hpp"

namespace vmigrate::kvm {
namespace {

constexpr std::uint32_t kChips = 3;  // KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC

}  // namespace

BoardShape look_at_board(int vm) {
  kvm_irqchip chip{};
  kvm_pit_state2 timer{};
  return {::ioctl(vm, KVM_GET_IRQCHIP, &chip) == 0, ::ioctl(vm, KVM_GET_PIT2, &timer) == 0};
}

Result<BoardState> save_board(int vm, const Needs& shape) {
  BoardState state;
  for (std::uint32_t id = 0; shape.has_interrupt_chips && id < kChips; ++id) {
    auto& chip = state.interrupt_chips.emplace_back();
    chip.chip_id = id;
    if (auto done = call(vm, KVM_GET_IRQCHIP, &chip, "reading an interrupt chip"); !done)
      return fail(done.error());
  }
  if (shape.has_timer_chip) {
    auto done = call(vm, KVM_GET_PIT2, &state.timer_chip.emplace(), "reading the timer chip");
    if (!done) return fail(done.error());
  }
  kvm_clock_data clock{};
  if (auto done = call(vm, KVM_GET_CLOCK, &clock, "reading the clock"); !done) return fail(done.error());
  state.clock = clock.clock;
  return state;
}

Result<> load_interrupt_chips(int vm, const BoardState& state) {
  for (auto chip : state.interrupt_chips) {
    if (auto done = call(vm, KVM_SET_IRQCHIP, &chip, "writing an interrupt chip"); !done)
      return fail(done.error());
  }
  return {};
}

// The guest's clock stands still from its reading at the source until now: a time that jumps is worse for
// what runs in a guest than one that is late, and what keeps it right (NTP) takes the rest.
Result<> load_timers(int vm, const BoardState& state) {
  if (auto timer = state.timer_chip) {
    if (auto done = call(vm, KVM_SET_PIT2, &*timer, "writing the timer chip"); !done)
      return fail(done.error());
  }
  kvm_clock_data clock{};
  clock.clock = state.clock;
  if (auto done = call(vm, KVM_SET_CLOCK, &clock, "writing the clock"); !done) return fail(done.error());
  return {};
}

}  // namespace vmigrate::kvm
