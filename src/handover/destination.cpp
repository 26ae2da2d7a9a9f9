#include "handover/destination.hpp"

#include <array>

namespace vmigrate::handover::destination {
namespace {

using enum Action;

Step stay(State state, std::vector<Action> actions = {}) {
  return {std::move(state), std::move(actions)};
}
Step illegal(State state) {
  return {std::move(state), {}, false};
}

const Error kRestarted{ErrorCode::failed, "migrated was restarted on the destination during the migration",
                       "start the migration again"};
const Error kTakenBack{ErrorCode::failed, "an administrator decided that the VM runs on the source", ""};

/// Reserved and Incoming: this host may still say no, and any trouble makes it.
template <class Early>
struct BeforeFinish {
  Early state;

  Step operator()(const Prepared&) const {
    if constexpr (std::is_same_v<Early, Reserved>) return {Incoming{}};
    return illegal(state);
  }
  Step operator()(const FinishReceived& event) const {
    if constexpr (std::is_same_v<Early, Reserved>) return illegal(state);
    if (!event.verified) return refuse(event.verified.error());
    return {Loading{}, {finish}};
  }
  Step operator()(const Failed& event) const { return refuse(event.why); }
  Step operator()(const AbortReceived& event) const { return refuse(event.why); }
  Step operator()(const LinkLost& event) const { return refuse(event.why); }
  Step operator()(const TakenBack&) const {
    return refuse({ErrorCode::failed, "the source has its VM again", ""});
  }
  Step operator()(const JournalFailed& event) const { return refuse(event.why); }
  Step operator()(const Restarted&) const { return refuse(kRestarted); }
  template <class Other>
  Step operator()(const Other&) const {
    return illegal(state);
  }

 private:
  static Step refuse(Error why) { return {Refusing{std::move(why)}, {discard}}; }
};

struct WhileLoading {
  Step operator()(const Loaded&) const { return {Started{}, {record, resume}}; }
  Step operator()(const Failed& event) const { return {Refusing{event.why}, {discard}}; }
  Step operator()(const AbortReceived& event) const { return {Refusing{event.why}, {discard}}; }
  Step operator()(const TakenBack&) const { return {Refusing{kTakenBack}, {discard}}; }
  Step operator()(const Restarted&) const { return {Refusing{kRestarted}, {discard}}; }
  // The source has promised; whether it still listens does not matter.
  Step operator()(const LinkLost&) const { return stay(Loading{}); }
  Step operator()(const FinishReceived&) const { return stay(Loading{}); }
  template <class Other>
  Step operator()(const Other&) const {
    return illegal(Loading{});
  }
};

struct WhileStarted {
  Step operator()(const VcpusRun&) const { return {Running{}, {record, send_verdict}}; }
  Step operator()(const VmMissing& event) const { return {InDoubt{event.why}, {record, send_verdict}}; }
  // The record keeps a restart from running it after all.
  Step operator()(const TakenBack&) const { return {Refusing{kTakenBack}, {record, discard}}; }
  // The commit could not be written, so there is none, and the vCPUs were not resumed.
  Step operator()(const JournalFailed& event) const { return {Refusing{event.why}, {discard}}; }
  Step operator()(const Restarted&) const { return stay(Started{}, {resume}); }
  // Too late to refuse.
  Step operator()(const AbortReceived&) const { return stay(Started{}); }
  Step operator()(const LinkLost&) const { return stay(Started{}); }
  Step operator()(const Failed&) const { return stay(Started{}); }
  Step operator()(const FinishReceived&) const { return stay(Started{}); }
  template <class Other>
  Step operator()(const Other&) const {
    return illegal(Started{});
  }
};

struct WhileRunning {
  Step operator()(const ConfirmedReceived&) const { return {Done{}, {record}}; }
  Step operator()(const FinishReceived&) const { return stay(Running{}, {send_verdict}); }
  Step operator()(const AbortReceived&) const { return stay(Running{}, {send_verdict}); }
  // The VM runs. The record of it is repeated by what a restart in Started finds.
  Step operator()(const JournalFailed&) const { return stay(Running{}, {send_verdict}); }
  Step operator()(const LinkLost&) const { return stay(Running{}); }
  Step operator()(const Restarted&) const { return stay(Running{}); }
  Step operator()(const Failed&) const { return stay(Running{}); }
  // Who decided that was sure that this host could not run it. It is not for a peer to end what runs.
  Step operator()(const TakenBack&) const { return stay(Running{}); }
  template <class Other>
  Step operator()(const Other&) const {
    return illegal(Running{});
  }
};

struct WhileRefusing {
  Refusing state;

  Step operator()(const Discarded&) const { return {Refused{state.why}, {record, send_verdict}}; }
  Step operator()(const Restarted&) const { return stay(state, {discard}); }
  Step operator()(const Prepared&) const { return stay(state); }
  Step operator()(const FinishReceived&) const { return stay(state); }
  Step operator()(const Loaded&) const { return stay(state); }
  Step operator()(const Failed&) const { return stay(state); }
  Step operator()(const AbortReceived&) const { return stay(state); }
  Step operator()(const LinkLost&) const { return stay(state); }
  Step operator()(const TakenBack&) const { return stay(state); }
  // What cannot be written yet can still be thrown away.
  Step operator()(const JournalFailed&) const { return stay(state, {discard}); }
  template <class Other>
  Step operator()(const Other&) const {
    return illegal(state);
  }
};

struct WhenFinal {
  State state;
  // Nobody knows whether it has run here, and it does not any more.
  Step operator()(const TakenBack&) const {
    if (!std::holds_alternative<InDoubt>(state)) return stay(state);
    return {Refusing{kTakenBack}, {record, discard}};
  }
  Step operator()(const FinishReceived&) const { return stay(state, {send_verdict}); }
  Step operator()(const AbortReceived&) const { return stay(state, {send_verdict}); }
  // The record that is missing stands for an earlier state, and a restart leads from there to here again.
  Step operator()(const JournalFailed&) const { return stay(state, {send_verdict}); }
  template <class Late>
  Step operator()(const Late&) const {
    return stay(state);
  }
};

struct Dispatch {
  const Event& event;
  Step operator()(const Reserved& state) const { return std::visit(BeforeFinish<Reserved>{state}, event); }
  Step operator()(const Incoming& state) const { return std::visit(BeforeFinish<Incoming>{state}, event); }
  Step operator()(const Loading&) const { return std::visit(WhileLoading{}, event); }
  Step operator()(const Started&) const { return std::visit(WhileStarted{}, event); }
  Step operator()(const Running&) const { return std::visit(WhileRunning{}, event); }
  Step operator()(const Refusing& state) const { return std::visit(WhileRefusing{state}, event); }
  Step operator()(const Done& state) const { return std::visit(WhenFinal{state}, event); }
  Step operator()(const Refused& state) const { return std::visit(WhenFinal{state}, event); }
  Step operator()(const InDoubt& state) const { return std::visit(WhenFinal{state}, event); }
};

constexpr std::array<std::string_view, std::variant_size_v<State>> kStateNames{
    "reserved", "incoming", "loading", "started", "running", "done", "refusing", "refused", "in doubt"};
constexpr std::array<std::string_view, std::variant_size_v<Event>> kEventNames{
    "prepared",   "finish received", "loaded",    "failed",     "abort received",
    "link lost",  "discarded",       "vCPUs run", "VM missing", "confirmed received",
    "taken back", "journal failed",  "restarted"};
constexpr std::array<std::string_view, 5> kActionNames{"record", "finish", "resume", "discard",
                                                       "send verdict"};

}  // namespace

Step step(const State& state, const Event& event) {
  return std::visit(Dispatch{event}, state);
}

Outcome outcome(const State& state) {
  if (std::holds_alternative<Running>(state) || std::holds_alternative<Done>(state)) return Outcome::running;
  if (std::holds_alternative<Refused>(state)) return Outcome::refused;
  if (std::holds_alternative<InDoubt>(state)) return Outcome::in_doubt;
  return Outcome::undecided;
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
  return std::holds_alternative<Done>(state) || std::holds_alternative<Refused>(state) ||
         std::holds_alternative<InDoubt>(state);
}

}  // namespace vmigrate::handover::destination
