#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

int list(const Context& context) {
  control::Request request;
  request.mutable_list();
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.vms();
    make_printable(&printable);
    print_list(context, response.vms(), render_vms(printable, context.result_style));
    return 0;
  });
}

}  // namespace

void add_list(CLI::App& app, Command* command) {
  auto* sub = app.add_subcommand("list", "List the VMs of this host, and which of them are moving");
  sub->footer(
      "Examples:\n"
      "  vmigrate list\n"
      "  vmigrate list -o ndjson | jq -r 'select(.state == \"running\").name'");
  sub->callback([=] { *command = list; });
}

}  // namespace vmigrate::cli
