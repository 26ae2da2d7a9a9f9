#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

int hosts(const Context& context) {
  control::Request request;
  request.mutable_hosts();
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.hosts();
    make_printable(&printable);
    print_list(context, response.hosts(), render_hosts(printable, context.result_style));
    return 0;
  });
}

}  // namespace

void add_hosts(CLI::App& app, Command* command) {
  auto* sub = app.add_subcommand("hosts", "List the other hosts, and whether their daemons answer");
  sub->footer(
      "Examples:\n"
      "  vmigrate hosts");
  sub->callback([=] { *command = hosts; });
}

}  // namespace vmigrate::cli
