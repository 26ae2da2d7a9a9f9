#include <memory>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

struct ResolveArguments {
  std::string vm;
  std::string fenced_host;
  bool run_here = false;  ///< has to be said, since it is the only choice there is
};

std::string may_be_started(const control::Migration& migration) {
  if (migration.vmm().empty())
    return fmt::format("{0} may be started here again: virsh start {0}\n", migration.vm());
  return fmt::format("{} may be started here again, by {}\n", migration.vm(), migration.vmm());
}

int resolve(const Context& context, const ResolveArguments& arguments) {
  control::Request request;
  request.mutable_resolve()->set_vm(arguments.vm);
  request.mutable_resolve()->set_fenced_host(arguments.fenced_host);
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.migration();
    make_printable(&printable);
    print_result(context, response.migration(), render_migration(printable, context.result_style));
    if (response.migration().phase() == control::COMPLETED) {
      print_message(may_be_started(printable));
    } else if (!has_ended(response.migration().phase())) {
      print_message(fmt::format("see how it ends: vmigrate watch {}\n", printable.vm()));
    }
    return 0;
  });
}

}  // namespace

void add_resolve(CLI::App& app, Command* command) {
  const auto arguments = std::make_shared<ResolveArguments>();
  auto* sub =
      app.add_subcommand("resolve", "Decide where a VM runs that the two hosts alone cannot decide about");
  sub->add_option("VM", arguments->vm,
                  "Name or UUID of a VM that needs attention, or of which the definition was kept here")
      ->required();
  sub->add_flag("--run-here", arguments->run_here, "Let the VM run on this host again")->required();
  sub->add_option(
         "--i-have-fenced", arguments->fenced_host,
         "The other host. By this you say that it cannot run the VM: it is switched off, or the VM was "
         "destroyed there by hand")
      ->type_name("HOST")
      ->required();
  sub->footer(
      "When the link between two hosts breaks for good in the very moment of the handover, this host cannot "
      "know\n"
      "whether the VM runs on the other, and keeps its copy stopped. If you are wrong about the other host, "
      "two\n"
      "copies of the VM will write to the same disks.\n"
      "The same word lets a VM be started here again that was moved away with --keep-source-definition, or "
      "that\n"
      "was moved here and ended before it was known to run.\n\n"
      "Examples:\n"
      "  vmigrate resolve web1 --run-here --i-have-fenced hostb");
  sub->callback([=] { *command = [=](const Context& context) { return resolve(context, *arguments); }; });
}

}  // namespace vmigrate::cli
