#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "hypervisor/domain.hpp"
#include "scheduler.hpp"

namespace vmigrate::simulation {

enum class Side { a, b };
constexpr Side other(Side side) {
  return side == Side::a ? Side::b : Side::a;
}
std::string name_of(Side side);

/// A VM's process on one host.
struct Process {
  std::uint64_t number = 0;
  hypervisor::DomainState state = hypervisor::DomainState::paused;
  /// Which moment of the VM's life it holds; see World.
  std::uint64_t version = 0;
  /// What has arrived is not the VM until it is committed to.
  bool is_the_vm = true;
};

/// What a host's hypervisor knows of the one VM that there is.
struct Place {
  std::optional<Process> process;
  bool defined = false;
  bool autostart = false;  ///< goes with the definition, and does not come with a VM that arrives
};

/// Where the copies of the VM are, seen from above: what nobody in the daemons can see, and the promise is
/// about.
///
/// Every time a copy begins to run its version becomes a new one, the newest. A copy that arrives has the
/// version of the one that it was sent from; once it is committed to it is the VM, and has a new one, too. So
/// a copy that begins to run and does not hold the newest version makes a second history of the VM; and when
/// the last process that holds the newest is gone, the VM is lost.
class World {
 public:
  World(Scheduler& scheduler, hypervisor::DomainDescription vm) : scheduler_(scheduler), vm_(std::move(vm)) {}

  const hypervisor::DomainDescription& vm() const { return vm_; }
  Place& at(Side side) { return places_[static_cast<std::size_t>(side)]; }
  hypervisor::DomainState state(Side side);

  void define(Side side) { at(side).defined = true; }
  void undefine(Side side) { at(side).defined = at(side).autostart = false; }
  /// A copy that was stopped, or has just come, runs from now on.
  void run(Side side);
  void stop(Side side);
  /// From now on the copy here is the VM, whether it runs yet or not.
  void commit(Side side);
  /// The definition is started from nothing.
  void boot(Side side);
  /// A process without a memory of its own yet.
  void create_incoming(Side side);
  /// `by_accident`: a QEMU that dies, a host that loses power.
  void end(Side side, bool by_accident);

  bool is_lost() const { return lost_; }
  /// And so runs now, whatever it did before.
  bool was_booted() const { return booted_; }
  bool holds_newest(Side side);
  /// A person has decided that this host's copy is the VM, or what is on its disk if there is none.
  void decide_for(Side side);

  /// The first rule that was broken; what follows is of no interest.
  void violate(const std::string& what);
  const std::optional<std::string>& violation() const { return violation_; }

 private:
  Scheduler& scheduler_;
  const hypervisor::DomainDescription vm_;
  std::array<Place, 2> places_{};
  std::uint64_t newest_ = 0;
  std::uint64_t processes_ = 0;
  bool lost_ = false;
  bool booted_ = false;
  std::optional<std::string> violation_;
};

}  // namespace vmigrate::simulation
