#include "handover/source.hpp"

#include <array>

namespace vmigrate::handover::source {
namespace {

using enum Action;

Step stay(State state, std::vector<Action> actions = {}) {
  return {std::move(state), std::move(actions)};
}
Step illegal(State state) {
  return {std::move(state), {}, false};
}

const Error kCancelled{ErrorCode::cancelled, "cancelled on request", ""};
const Error kRestarted{ErrorCode::failed, "migrated was restarted on the source during the migration",
                       "start the migration again"};

/// Preparing, Streaming and Stopped: the VM is this host's, and every trouble leads back to it.
template <class Owning>
struct WhileOwning {
  Owning state;

  Step operator()(const CancelRequested&) const { return reclaim_from_hypervisor(kCancelled); }
  Step operator()(const Failed& event) const { return reclaim_from_hypervisor(event.why); }
  Step operator()(const LinkLost& event) const { return reclaim_from_hypervisor(event.why); }
  Step operator()(const VerdictReceived& event) const {
    // Before Finish has left this host, the destination can only have given up.
    return reclaim_from_hypervisor({ErrorCode::failed, event.reason, ""});
  }
  Step operator()(const HypervisorEnded& event) const {
    return {Reclaiming{event.why}, {send_abort, Action::reclaim}};
  }
  Step operator()(const FinishRequested& event) const {
    if (event.cancelled) {
      // Why, the hypervisor says when its call returns.
      return {Reclaiming{{ErrorCode::failed, "", ""}}, {send_abort, answer_not_loaded}};
    }
    if constexpr (std::is_same_v<Owning, Preparing>) return illegal(state);
    return {Relinquished{}, {record, send_finish}};
  }
  Step operator()(const Restarted&) const { return {Reclaiming{kRestarted}, {Action::reclaim}}; }
  Step operator()(const JournalFailed& event) const { return reclaim_from_hypervisor(event.why); }
  Step operator()(const StreamStarted&) const {
    if constexpr (std::is_same_v<Owning, Preparing>) return {Streaming{}};
    return illegal(state);
  }
  Step operator()(const VcpusStopped&) const {
    if constexpr (std::is_same_v<Owning, Streaming>) return {Stopped{}};
    return illegal(state);
  }
  Step operator()(const VmIsBack&) const { return illegal(state); }
  Step operator()(const CopyRemoved&) const { return illegal(state); }
  Step operator()(const Resolved&) const { return illegal(state); }

 private:
  static Step reclaim_from_hypervisor(Error why) {
    return {Reclaiming{std::move(why)}, {send_abort, abort_hypervisor}};
  }
};

struct WhileRelinquished {
  Relinquished state;

  Step operator()(const VerdictReceived& event) const {
    switch (event.outcome) {
      case Outcome::running: return {Releasing{}, {answer_loaded}};
      case Outcome::refused: return {Reclaiming{{ErrorCode::failed, event.reason, ""}}, {answer_not_loaded}};
      case Outcome::undecided: return stay(Relinquished{}, {ask_destination});
      case Outcome::in_doubt:
      case Outcome::unknown: return stay(Relinquished{event.reason}, {ask_destination});
    }
    return illegal(state);
  }
  // The promise could not be written, so it was not made, and Finish has not left this host.
  Step operator()(const JournalFailed& event) const {
    return {Reclaiming{event.why}, {send_abort, answer_not_loaded}};
  }
  Step operator()(const LinkLost&) const { return stay(state, {ask_destination}); }
  Step operator()(const Restarted&) const { return stay(state, {ask_destination}); }
  // The destination may still be able to refuse; its verdict tells.
  Step operator()(const CancelRequested&) const { return stay(state, {send_abort}); }
  // Nobody's word but a person's: it has to be on record before the VM runs, or a daemon that is killed in
  // between would ask the destination again, and believe it.
  Step operator()(const Resolved&) const { return {decided(), {record, answer_not_loaded}}; }
  // The hypervisor gave up waiting by itself (its daemon died, say). The promise stands.
  Step operator()(const HypervisorEnded&) const { return stay(state); }
  Step operator()(const Failed&) const { return stay(state); }
  Step operator()(const VcpusStopped&) const { return stay(state); }
  Step operator()(const StreamStarted&) const { return illegal(state); }
  Step operator()(const FinishRequested&) const { return illegal(state); }
  Step operator()(const VmIsBack&) const { return illegal(state); }
  Step operator()(const CopyRemoved&) const { return illegal(state); }
};

struct WhileReleasing {
  Step operator()(const HypervisorEnded&) const { return stay(Releasing{}, {remove_here}); }
  Step operator()(const CopyRemoved&) const { return {Confirmed{}, {record, send_confirmed}}; }
  // Too late for all of these: the destination runs the VM.
  Step operator()(const CancelRequested&) const { return stay(Releasing{}); }
  Step operator()(const Failed&) const { return stay(Releasing{}); }
  Step operator()(const LinkLost&) const { return stay(Releasing{}); }
  Step operator()(const VerdictReceived&) const { return stay(Releasing{}); }
  Step operator()(const VcpusStopped&) const { return stay(Releasing{}); }
  template <class Other>
  Step operator()(const Other&) const {
    return illegal(Releasing{});
  }
};

struct WhileReclaiming {
  Reclaiming state;

  Step operator()(const HypervisorEnded& event) const {
    return stay(state.why.message.empty() ? Reclaiming{event.why} : state, {Action::reclaim});
  }
  Step operator()(const VmIsBack& event) const {
    if (event.gone_because.empty()) return {Reclaimed{state.why}, {record}};
    return {Reclaimed{{ErrorCode::failed, event.gone_because, ""}}, {record}};
  }
  // The hypervisor completed its part before it heard that it should not.
  Step operator()(const FinishRequested&) const { return stay(state, {answer_not_loaded}); }
  Step operator()(const Restarted&) const { return stay(state, {Action::reclaim}); }
  // Whatever else goes wrong now does not change where this leads; the first reason is the one reported.
  Step operator()(const CancelRequested&) const { return stay(state); }
  Step operator()(const Failed&) const { return stay(state); }
  Step operator()(const LinkLost&) const { return stay(state); }
  Step operator()(const VerdictReceived&) const { return stay(state); }
  Step operator()(const StreamStarted&) const { return stay(state); }
  Step operator()(const VcpusStopped&) const { return stay(state); }
  Step operator()(const CopyRemoved&) const { return illegal(state); }
  // Only a decision is recorded on the way here, and it does not count then.
  Step operator()(const JournalFailed&) const { return {Relinquished{}, {ask_destination}}; }
  Step operator()(const Resolved&) const { return illegal(state); }
};

/// Nothing moves a finished migration. An unwritten last record is read as an earlier one after a restart,
/// which leads here again.
struct WhenFinal {
  State state;
  template <class Any>
  Step operator()(const Any&) const {
    constexpr bool late = !std::is_same_v<Any, StreamStarted> && !std::is_same_v<Any, FinishRequested> &&
                          !std::is_same_v<Any, Resolved>;
    return late ? stay(state) : illegal(state);
  }
};

struct Dispatch {
  const Event& event;
  Step operator()(const Preparing& state) const { return std::visit(WhileOwning<Preparing>{state}, event); }
  Step operator()(const Streaming& state) const { return std::visit(WhileOwning<Streaming>{state}, event); }
  Step operator()(const Stopped& state) const { return std::visit(WhileOwning<Stopped>{state}, event); }
  Step operator()(const Relinquished& state) const { return std::visit(WhileRelinquished{state}, event); }
  Step operator()(const Releasing&) const { return std::visit(WhileReleasing{}, event); }
  Step operator()(const Reclaiming& state) const { return std::visit(WhileReclaiming{state}, event); }
  Step operator()(const Confirmed& state) const { return std::visit(WhenFinal{state}, event); }
  Step operator()(const Reclaimed& state) const { return std::visit(WhenFinal{state}, event); }
};

constexpr std::array<std::string_view, std::variant_size_v<State>> kStateNames{
    "preparing", "streaming", "stopped", "relinquished", "releasing", "confirmed", "reclaiming", "reclaimed"};
constexpr std::array<std::string_view, std::variant_size_v<Event>> kEventNames{
    "stream started", "vCPUs stopped", "finish requested", "verdict",    "cancel requested",
    "failed",         "link lost",     "hypervisor ended", "VM is back", "copy removed",
    "journal failed", "restarted",     "resolved"};
constexpr std::array<std::string_view, 10> kActionNames{
    "record",        "abort hypervisor",  "send abort", "send finish", "ask destination",
    "answer loaded", "answer not loaded", "reclaim",    "remove here", "send confirmed"};

}  // namespace

Step step(const State& state, const Event& event) {
  return std::visit(Dispatch{event}, state);
}

Reclaiming decided() {
  return {{ErrorCode::failed, "an administrator decided that the VM runs on the source", ""}};
}

std::string_view name(const State& state) {
  return kStateNames[state.index()];
}
std::string_view name(const Event& event) {
  return kEventNames[event.index()];
}
std::string_view name(Action action) {
  return kActionNames[static_cast<std::size_t>(action)];
}

bool is_final(const State& state) {
  return std::holds_alternative<Confirmed>(state) || std::holds_alternative<Reclaimed>(state);
}

}  // namespace vmigrate::handover::source
