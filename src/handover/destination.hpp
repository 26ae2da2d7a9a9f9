#pragma once

#include <string_view>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "handover/outcome.hpp"

/// The destination's half of the handover, as a pure state machine.
///
///   Reserved ─▶ Incoming ─▶ Loading ─▶ Started ─▶ Running ─▶ Done
///       └──────────┴───────────┘         ├─────▶ InDoubt
///                  ▼                     ▼           │
///              Refusing ─▶ Refused    Refusing ◀─────┘
///
/// The write of Started is the commit point of the whole migration: before it this host may refuse at any
/// time, for ever; after it, never, unless the source has the VM again by an administrator's word. The vCPUs
/// are resumed only after that write.
namespace vmigrate::handover::destination {

struct Reserved {};
struct Incoming {};
/// Finish was passed to the hypervisor, which has not answered yet.
struct Loading {};
struct Started {};
struct Running {};
/// The source has removed its copy. The end.
struct Done {};
/// What has come in is being thrown away. On record only if it had been committed.
struct Refusing {
  Error why;
};
/// This migration will never run here. The end.
struct Refused {
  Error why;
};
/// Committed, but the VM is not there: it may have run. The end, until a person decides: at the source, which
/// tells, or here, which writes Done.
struct InDoubt {
  Error why;
};
using State = std::variant<Reserved, Incoming, Loading, Started, Running, Done, Refusing, Refused, InDoubt>;

struct Prepared {};
/// The source has relinquished the VM. `verified`: both hosts counted and summed up the same stream, or why
/// that cannot be said.
struct FinishReceived {
  explicit FinishReceived(Result<> stream) : verified(std::move(stream)) {}
  Result<> verified;
};
struct Loaded {};
struct Failed {
  Error why;
};
struct AbortReceived {
  Error why;
};
struct LinkLost {
  Error why;
};
/// Action::discard has seen that nothing of it is left; or could not.
struct Discarded {};
struct VcpusRun {};
/// The VM that was committed is not there.
struct VmMissing {
  Error why;
};
struct ConfirmedReceived {};
/// The VM is the source's again, whatever comes: it will never let it go by this migration.
struct TakenBack {};
struct JournalFailed {
  Error why;
};
struct Restarted {};
using Event = std::variant<Prepared, FinishReceived, Loaded, Failed, AbortReceived, LinkLost, Discarded,
                           VcpusRun, VmMissing, ConfirmedReceived, TakenBack, JournalFailed, Restarted>;

/// What has to be done, in this order. If `record` fails, what follows it is not done and JournalFailed comes
/// back.
enum class Action {
  record,   ///< write the new state durably
  finish,   ///< pass Finish to the hypervisor; comes back as Loaded or Failed
  resume,   ///< run the vCPUs (unless it is to stay paused), announce; comes back as VcpusRun or VmMissing
  discard,  ///< throw away what came in and verify it; comes back as Discarded once that is certain
  send_verdict,  ///< tell the source, if the link holds
};

struct Step {
  State next;
  std::vector<Action> actions{};
  bool legal = true;  ///< false: this event cannot happen in this state; nothing changes
};

/// One transition. Pure: no clock, no I/O.
Step step(const State& state, const Event& event);

/// What a source that asks is told.
Outcome outcome(const State& state);

std::string_view name(const State& state);
std::string_view name(const Event& event);
std::string_view name(Action action);
bool is_final(const State& state);

}  // namespace vmigrate::handover::destination
