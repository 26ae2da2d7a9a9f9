#include <memory>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

int show(const Context& context, const std::string& vm_or_id) {
  control::Request request;
  request.mutable_show()->set_vm_or_id(vm_or_id);
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.migration();
    make_printable(&printable);
    print_result(context, response.migration(), render_migration(printable, context.result_style));
    return 0;
  });
}

}  // namespace

void add_show(CLI::App& app, Command* command) {
  const auto vm_or_id = std::make_shared<std::string>();
  auto* sub = app.add_subcommand("show", "Show a VM's migration: the one under way, or the last one");
  add_vm_or_id(sub, vm_or_id.get());
  sub->footer(
      "Examples:\n"
      "  vmigrate show web1\n"
      "  vmigrate show 3f2a91c0 -o json | jq -r .vm_runs_on");
  sub->callback([=] { *command = [=](const Context& context) { return show(context, *vm_or_id); }; });
}

}  // namespace vmigrate::cli
