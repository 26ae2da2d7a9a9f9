#include <memory>

#include <fmt/format.h>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/follow.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

std::string where(const control::Migration& migration) {
  return migration.vm_runs_on().empty() ? migration.source_host() : migration.vm_runs_on();
}

/// What became of the wish: the VM stays where it was, or it was too late.
int print_outcome(const Context& context, const control::Migration& migration) {
  auto printable = migration;
  make_printable(&printable);
  switch (migration.phase()) {
    case control::CANCELLED:
    case control::FAILED:
      print_result(context, migration,
                   fmt::format("{} runs on {}; its migration to {} was {}\n", printable.vm(),
                               where(printable), printable.destination_host(),
                               migration.phase() == control::CANCELLED ? "cancelled" : "failing already"));
      return 0;
    case control::COMPLETED:
      return report_error(
          context, to_message({ErrorCode::refused,
                               fmt::format("too late: the migration of {} has completed", migration.vm()),
                               "to have it back, start it from there"},
                              fmt::format("{} runs on {}", migration.vm(), where(migration))));
    default: return print_end(context, migration);
  }
}

int cancel(const Context& context, const std::string& vm_or_id) {
  control::Request request;
  request.mutable_cancel()->set_vm_or_id(vm_or_id);
  return ask_once(context, request, [&](const control::Response& response) {
    return print_outcome(context, response.migration());
  });
}

}  // namespace

void add_cancel(CLI::App& app, Command* command) {
  const auto vm_or_id = std::make_shared<std::string>();
  auto* sub = app.add_subcommand("cancel", "Cancel a VM's migration; returns when the VM runs on as before");
  add_vm_or_id(sub, vm_or_id.get());
  sub->footer(
      "Exits with 4 when it is too late: the VM runs on the destination then.\n\n"
      "Examples:\n"
      "  vmigrate cancel web1");
  sub->callback([=] { *command = [=](const Context& context) { return cancel(context, *vm_or_id); }; });
}

}  // namespace vmigrate::cli
