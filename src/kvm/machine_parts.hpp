#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "kvm/dirty_ring.hpp"
#include "kvm/dirty_tracker.hpp"
#include "kvm/host.hpp"
#include "kvm/slot.hpp"
#include "kvm/state.hpp"
#include "kvm/wishes.hpp"
#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {

/// Whose the guest is, as far as this side can know.
enum class Owner {
  own,       ///< ours: it may be run and sent
  given,     ///< sent, and perhaps run there
  received,  ///< loaded, but perhaps still run where it came from
  spoiled,   ///< what is here is half of one
};

/// What a Machine consists of.
struct MachineParts {
  static Result<std::unique_ptr<MachineParts>> create(MachineDescription description, Vmm& vmm);

  /// What the VM needs as it is now: slots that were removed are not part of it.
  Needs needs() const;

  MachineDescription description;
  Vmm* vmm = nullptr;
  Owner owner = Owner::own;
  Host host;
  Needs shape;                      ///< but for the slots
  std::vector<CpuidEntries> cpuid;  ///< of each vCPU, as they were made or came
  Slots slots;
  std::optional<DirtyRing> ring;
  Wishes wishes;
  /// Turns dirty logging on. A member so that a test can spoil it.
  std::function<Result<std::unique_ptr<DirtyTracker>>()> start_tracking;
  /// The time by which rounds are judged. A member so that a test need not wait for a minute in vain.
  std::function<MonotonicTime()> now = std::chrono::steady_clock::now;
  /// Of a send() that succeeded. Turning it off would be part of the pause, and is mostly for nothing: the VM
  /// is about to end.
  std::unique_ptr<DirtyTracker> tracker_left;

 private:
  MachineParts() = default;
  Result<> take_slots();
  Result<> map_rings();
  Result<> look_at_vcpus();
};

}  // namespace vmigrate::kvm
