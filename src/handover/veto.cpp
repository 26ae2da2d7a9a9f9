#include "handover/veto.hpp"

#include <variant>

#include <fmt/format.h>

namespace vmigrate::handover {

bool is_handed_over(const Record& latest) {
  return latest.role == Role::source && latest.keeps_definition &&
         latest.state == source::name(source::Confirmed{});
}

std::optional<Error> veto_of_start(const Record& latest) {
  // What has arrived here, or was about to, is not for this host to give away.
  if (latest.role == Role::destination) return std::nullopt;
  const auto state = source_state(latest);
  if (!state) return state.error();
  const bool promised = std::holds_alternative<source::Relinquished>(*state);
  if (!promised && !is_handed_over(latest)) return std::nullopt;
  return Error{
      ErrorCode::refused,
      fmt::format("{} was handed over to {}{}", latest.vm_name, latest.peer,
                  promised ? ", and whether it runs there is not known yet" : " and runs there"),
      fmt::format("move it back with vmigrate; or make sure that {0} cannot run it, then: vmigrate resolve "
                  "{1} --run-here --i-have-fenced {0}",
                  latest.peer, latest.vm_name)};
}

std::optional<Error> veto_of_start(Journal& journal, const VmId& vm) {
  const auto latest = journal.latest_in_force(vm);
  if (!latest) return latest.error();
  return *latest ? veto_of_start(**latest) : std::nullopt;
}

}  // namespace vmigrate::handover
