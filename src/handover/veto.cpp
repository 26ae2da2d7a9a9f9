#include "handover/veto.hpp"

#include <algorithm>
#include <variant>

#include <fmt/format.h>

#include "handover/runtime_directory.hpp"

namespace vmigrate::handover {

namespace {

Error veto_of_what_is_in_doubt(const Record& latest) {
  return Error{
      ErrorCode::refused,
      fmt::format("{} came from {}, was gone before it was known to run here, and may run there again",
                  latest.vm_name, latest.peer),
      fmt::format("see what {0} says of it; only if neither it nor a host that it has moved the VM on to can "
                  "run it: vmigrate resolve {1} --run-here --i-have-fenced {0}",
                  latest.peer, latest.vm_name)};
}

Error veto_of_what_was_taken_back(const Record& latest) {
  return Error{ErrorCode::refused,
               fmt::format("{} is {}'s again by an administrator's word, and what came here is being removed",
                           latest.vm_name, latest.peer),
               "if it stays so, look why: journalctl -u migrated"};
}

}  // namespace

bool is_handed_over(const Record& latest) {
  return latest.role == Role::source && latest.keeps_definition &&
         latest.state == source::name(source::Confirmed{});
}

std::optional<Error> veto_of_start(const Record& latest) {
  if (is_in_doubt(latest)) return veto_of_what_is_in_doubt(latest);
  if (is_taken_back(latest)) return veto_of_what_was_taken_back(latest);
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

Result<std::optional<Record>> record_in_force(Journal& journal, const VmId& vm,
                                              const std::string& runtime_folder) {
  const auto records = journal.of_vm(vm);
  if (!records) return fail(records.error());
  const auto found = std::find_if(records->begin(), records->end(), [&](const Record& record) {
    if (record.role == Role::source) return true;
    if (record.state == destination::name(destination::Refused{Error{}})) return false;
    return record.state != destination::name(destination::Reserved{}) ||
           is_under_way(runtime_folder, record.migration);
  });
  return found == records->end() ? std::nullopt : std::optional(*found);
}

std::optional<Error> veto_of_start(Journal& journal, const VmId& vm, const std::string& runtime_folder) {
  const auto latest = record_in_force(journal, vm, runtime_folder);
  if (!latest) return latest.error();
  return *latest ? veto_of_start(**latest) : std::nullopt;
}

}  // namespace vmigrate::handover
