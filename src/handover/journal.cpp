#include "handover/journal.hpp"

#include <array>

namespace vmigrate::handover {
namespace {

template <class State>
Result<State> unreadable(const Record& record) {
  return fail(ErrorCode::needs_attention,
              "the journal has migration " + record.migration.text() + " of VM " + record.vm_name +
                  " in the unknown state '" + record.state + "'",
              "was it written by a newer migrated? run that version again");
}

}  // namespace

std::string_view to_string(Role role) {
  return role == Role::source ? "source" : "destination";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::undecided: return "undecided";
    case Outcome::refused: return "refused";
    case Outcome::running: return "running";
    case Outcome::in_doubt: return "in doubt";
    case Outcome::unknown: return "unknown";
  }
  return "unknown";
}

Result<source::State> source_state(const Record& record) {
  const std::array<source::State, 5> recorded{source::Preparing{}, source::Relinquished{},
                                              source::Confirmed{}, source::decided(), source::Reclaimed{}};
  for (const auto& state : recorded) {
    if (name(state) == record.state) return state;
  }
  return unreadable<source::State>(record);
}

Result<destination::State> destination_state(const Record& record) {
  const std::array<destination::State, 7> recorded{
      destination::Reserved{},
      destination::Started{},
      destination::Running{},
      destination::Done{},
      destination::Refusing{{ErrorCode::failed, record.result, ""}},
      destination::Refused{{ErrorCode::failed, record.result, ""}},
      destination::InDoubt{{ErrorCode::needs_attention, record.result, ""}}};
  for (const auto& state : recorded) {
    if (name(state) == record.state) return state;
  }
  return unreadable<destination::State>(record);
}

Result<std::uint64_t> Journal::last_epoch(const VmId& vm) {
  const auto records = of_vm(vm);
  if (!records) return fail(records.error());
  return records->empty() ? 0 : records->front().epoch;
}

bool is_in_doubt(const Record& record) {
  return record.role == Role::destination && record.state == name(destination::State(destination::InDoubt{}));
}

bool is_taken_back(const Record& record) {
  return record.role == Role::destination &&
         record.state == name(destination::State(destination::Refusing{}));
}

Outcome outcome_of(const Record& record) {
  const auto state = destination_state(record);
  return state ? outcome(*state) : Outcome::in_doubt;
}

}  // namespace vmigrate::handover
