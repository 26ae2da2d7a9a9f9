#pragma once

#include "base/error.hpp"
#include "kvm/state.hpp"

/// What the vCPUs of a VM share: interrupt chips, timer chip, clock.
namespace vmigrate::kvm {

/// Which of them the kernel has for this VM.
struct BoardShape {
  bool has_interrupt_chips = false;
  bool has_timer_chip = false;
};
BoardShape look_at_board(int vm);

Result<BoardState> save_board(int vm, const Needs& shape);
/// Before the vCPUs, whose local APICs then get what they had at the source.
Result<> load_interrupt_chips(int vm, const BoardState& state);
/// The timer chip and the clock. After the vCPUs: the timer is armed by this, and what it raises must find
/// their local APICs as they are to be; and their MSRs say where in memory the guest reads the clock.
Result<> load_timers(int vm, const BoardState& state);

}  // namespace vmigrate::kvm
