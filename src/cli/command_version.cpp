#include <fmt/format.h>

#include "cli/commands.hpp"
#include "vmigrate_version.hpp"

namespace vmigrate::cli {
namespace {

/// Of both programs in one: which is asked about when they do not fit together.
int version(const Context& context) {
  control::Request request;
  request.mutable_version();
  if (context.format == Format::table) print_result(context, request, fmt::format("vmigrate {}\n", kVersion));
  return ask_once(context, request, [&](const control::Response& response) {
    const auto& daemon = response.version();
    print_result(context, daemon,
                 fmt::format("migrated {}{}\n", daemon.version(),
                             daemon.hypervisor().empty() ? "" : fmt::format(" ({})", daemon.hypervisor())));
    if (daemon.version() != kVersion) {
      print_message(
          fmt::format("warning: this is vmigrate {}, and the daemon that runs is {}; restart it: "
                      "systemctl restart migrated\n",
                      kVersion, daemon.version()));
    }
    return 0;
  });
}

}  // namespace

void add_version(CLI::App& app, Command* command) {
  auto* sub = app.add_subcommand("version", "Print the versions of vmigrate, migrated and the hypervisor");
  sub->footer(
      "Examples:\n"
      "  vmigrate version");
  sub->callback([=] { *command = version; });
}

}  // namespace vmigrate::cli
