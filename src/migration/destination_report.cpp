// What people see of a migration that arrives.
#include <fmt/format.h>

#include "migration/destination_migration.hpp"

namespace vmigrate::migration {
namespace {

namespace destination = handover::destination;

}  // namespace

std::string DestinationMigration::label() const {
  return fmt::format("{} {} from {}", short_form(record_.migration), record_.vm_name, record_.peer);
}

void DestinationMigration::introduce() {
  report_.id = record_.migration;
  report_.vm = record_.vm;
  report_.vm_name = record_.vm_name;
  report_.vmm = record_.vmm;
  report_.role = handover::Role::destination;
  report_.source_host = record_.peer;
  report_.destination_host = edges_.host;
  report_.vm_runs_on = record_.peer;
  report_.started = edges_.clock.wall();
  report_.phase = Phase::prepare;
}

void DestinationMigration::show_state() {
  struct Shown {
    Phase phase;
    std::string runs_on;
    std::optional<Error> error{};
  };
  const auto shown = [&]() -> Shown {
    if (const auto* refusing = std::get_if<destination::Refusing>(&state_)) {
      return {Phase::clean_up, record_.peer, refusing->why};
    }
    if (const auto* refused = std::get_if<destination::Refused>(&state_)) {
      return {refused->why.code == ErrorCode::cancelled ? Phase::cancelled : Phase::failed, record_.peer,
              refused->why};
    }
    if (const auto* doubted = std::get_if<destination::InDoubt>(&state_)) {
      auto why = doubted->why;
      if (why.hint.empty()) {
        why.hint = fmt::format(
            "it may have run: look at its log and disks, then decide here or on {} with: vmigrate resolve",
            record_.peer);
      }
      return {Phase::needs_attention, "", why};
    }
    if (std::holds_alternative<destination::Reserved>(state_)) return {Phase::prepare, record_.peer};
    if (std::holds_alternative<destination::Incoming>(state_)) return {Phase::memory, record_.peer};
    if (std::holds_alternative<destination::Running>(state_)) return {Phase::completed, edges_.host};
    if (std::holds_alternative<destination::Done>(state_)) return {Phase::completed, edges_.host};
    return {Phase::switchover, ""};
  }();
  if (shown.phase == report_.phase && shown.runs_on == report_.vm_runs_on) return;
  report_.phase = shown.phase;
  report_.vm_runs_on = shown.runs_on;
  report_.error = shown.error;
  if (has_ended(report_.phase) || report_.phase == Phase::needs_attention)
    report_.ended = edges_.clock.wall();
  publish_(report_);
}

}  // namespace vmigrate::migration
