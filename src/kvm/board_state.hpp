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
/// All but the clock; before the vCPUs, whose local APICs then get what they had at the source.
Result<> load_chips(int vm, const BoardState& state);
/// After the vCPUs: their MSRs say where in memory the guest reads it.
Result<> load_clock(int vm, const BoardState& state);

}  // namespace vmigrate::kvm
