#include <memory>

#include "cli/commands.hpp"
#include "cli/follow.hpp"

namespace vmigrate::cli {
namespace {

int watch(const Context& context, const std::string& vm_or_id) {
  control::Request request;
  request.mutable_watch()->set_vm_or_id(vm_or_id);
  auto interrupts = Interrupts::create();
  if (!interrupts) return report_error(context, interrupts.error());
  return Follower(context, {.vm = vm_or_id}, std::move(*interrupts)).run(request);
}

}  // namespace

void add_watch(CLI::App& app, Command* command) {
  const auto vm_or_id = std::make_shared<std::string>();
  auto* sub = app.add_subcommand("watch", "Follow a VM's migration to its end");
  add_vm_or_id(sub, vm_or_id.get());
  sub->footer(
      "The exit code is the migration's, as that of `vmigrate start`. Ctrl-C ends the watching, not the "
      "migration.\n\n"
      "Examples:\n"
      "  vmigrate watch web1\n"
      "  vmigrate watch web1 -o ndjson | jq .progress.wire_rate");
  sub->callback([=] { *command = [=](const Context& context) { return watch(context, *vm_or_id); }; });
}

}  // namespace vmigrate::cli
