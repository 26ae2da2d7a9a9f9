#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "handover/outcome.hpp"

/// The source's half of the handover: who owns the VM, as a pure state machine.
///
///   Preparing ─▶ Streaming ─▶ Stopped ─▶ Relinquished ─▶ Releasing ─▶ Confirmed
///       └────────────┴────────────┘            │ only if the destination has refused for good,
///                    ▼                         │ or an administrator says so
///               Reclaiming ◀──────────────────┘
///                    ▼
///               Reclaimed
///
/// Up to Stopped the VM belongs to this host, whatever happens. Entering Relinquished is the promise, durable
/// before Finish leaves this host: from then on the VM does not run here unless the destination has durably
/// refused it. A missing answer is never turned into one.
namespace vmigrate::handover::source {

struct Preparing {};
struct Streaming {};
struct Stopped {};
/// `doubt` is empty while the destination is simply being waited for.
struct Relinquished {
  std::string doubt{};
};
/// The destination runs the VM; what is left of it here is being removed.
struct Releasing {};
/// The copy here is gone. The end.
struct Confirmed {};
/// The VM stays here; the hypervisor is being brought to let it run again.
struct Reclaiming {
  Error why;
};
/// The VM is here as it was before (or has ended by itself meanwhile, as `why` then says). The end.
struct Reclaimed {
  Error why;
};
using State =
    std::variant<Preparing, Streaming, Stopped, Relinquished, Releasing, Confirmed, Reclaiming, Reclaimed>;

struct StreamStarted {};
struct VcpusStopped {};
/// The hypervisor's part here is over. `cancelled`: it failed, and the hypervisor may have resumed the VM
/// already.
struct FinishRequested {
  bool cancelled = false;
};
struct VerdictReceived {
  Outcome outcome;
  std::string reason{};
};
struct CancelRequested {};
struct Failed {
  Error why;
};
struct LinkLost {
  Error why;
};
/// The hypervisor's migration call has returned, or there is none (any more).
struct HypervisorEnded {
  Error why{};  ///< of no meaning after a success
};
/// Action::reclaim has seen the VM as it was; or gone, for the reason given.
struct VmIsBack {
  std::string gone_because{};
};
/// Action::remove_here has seen that no copy is left to run here.
struct CopyRemoved {};
/// The journal could not be written: the transition that asked for it does not happen.
struct JournalFailed {
  Error why;
};
/// The daemon has started and found this record in its journal.
struct Restarted {};
/// An administrator has made sure that the destination cannot run it, and wants it to run here.
struct Resolved {};
using Event =
    std::variant<StreamStarted, VcpusStopped, FinishRequested, VerdictReceived, CancelRequested, Failed,
                 LinkLost, HypervisorEnded, VmIsBack, CopyRemoved, JournalFailed, Restarted, Resolved>;

/// What has to be done, in this order. If `record` fails, what follows it is not done and JournalFailed comes
/// back. `abort_hypervisor` and both answers come back as HypervisorEnded, at once where no hypervisor call
/// is under way.
enum class Action {
  record,             ///< write the new state durably
  abort_hypervisor,   ///< ask the hypervisor to end its migration
  send_abort,         ///< tell the destination, if the link holds
  send_finish,        ///< let the Finish call out
  ask_destination,    ///< ask what has become of it, again and again until it says
  answer_loaded,      ///< hand the destination's answer to the hypervisor: it removes its copy
  answer_not_loaded,  ///< hand a failure to the hypervisor: it resumes the VM
  reclaim,            ///< see to it that the VM is as it was, and come back with VmIsBack
  remove_here,        ///< see to it that no copy is left, and come back with CopyRemoved
  send_confirmed,     ///< tell the destination, if the link holds
};

struct Step {
  State next;
  std::vector<Action> actions{};
  bool legal = true;  ///< false: this event cannot happen in this state; nothing changes
};

/// One transition. Pure: no clock, no I/O.
Step step(const State& state, const Event& event);

/// What a decision leads to, and what a record of it means.
Reclaiming decided();

std::string_view name(const State& state);
std::string_view name(const Event& event);
std::string_view name(Action action);
bool is_final(const State& state);

}  // namespace vmigrate::handover::source
