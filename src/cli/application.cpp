#include "cli/application.hpp"

#include <string>

#include "cli/commands.hpp"

namespace vmigrate::cli {
namespace {

constexpr auto kExitCodes =
    "Exit codes: 0 done; 1 failed, the VM is safe on the source; 2 usage; 3 not found; 4 refused by a "
    "check;\n"
    "5 not allowed; 6 cancelled; 7 would not converge or ran out of time, the VM is safe; 8 the daemon or a "
    "host\n"
    "does not answer; 9 needs attention; 130 left by Ctrl-C while the migration goes on.\n\n"
    "`vmigrate COMMAND --help` explains a command. Manual: vmigrate(1).";

Format format_argument(const std::string& text) {
  if (text == "table") return Format::table;
  if (text == "json") return Format::json;
  if (text == "ndjson") return Format::ndjson;
  throw CLI::ValidationError("--output", "'" + text + "' is not a format; use table, json or ndjson");
}

void add_global_options(CLI::App& app, Context* context) {
  app.add_option_function<std::string>(
         "-o,--output", [=](const std::string& text) { context->format = format_argument(text); },
         "How results are written: table, json or ndjson")
      ->type_name("FORMAT");
  app.add_option("--socket", context->socket, "The daemon's control socket")
      ->envname("VMIGRATE_SOCKET")
      ->capture_default_str()
      ->type_name("PATH");
}

void add_commands(CLI::App& app, Command* command) {
  add_start(app, command);
  add_check(app, command);
  add_list(app, command);
  add_show(app, command);
  add_watch(app, command);
  add_cancel(app, command);
  add_history(app, command);
  add_hosts(app, command);
  add_pair(app, command);
  add_peers(app, command);
  add_doctor(app, command);
  add_resolve(app, command);
  add_audit(app, command);
  add_version(app, command);
}

std::string usage_error(const CLI::App* app, const CLI::Error& error) {
  const auto& chosen = app->get_subcommands();
  const std::string name = chosen.empty() ? "" : chosen.front()->get_name() + " ";
  const auto unknown = app->remaining();
  const std::string message =
      chosen.empty() && !unknown.empty() ? "there is no command '" + unknown.front() + "'" : error.what();
  return "vmigrate: " + message + "\n  hint: vmigrate " + name + "--help\n";
}

}  // namespace

void add_vm_or_id(CLI::App* subcommand, std::string* vm_or_id) {
  subcommand->add_option("VM|ID", *vm_or_id, "VM name or UUID, or a migration's id or how it begins")
      ->required();
}

int run(int argc, const char* const* argv) {
  Context context{.socket = "/run/vmigrate/migrated.sock"};
  Command command;
  CLI::App app("Moves running virtual machines between libvirt/QEMU hosts.", "vmigrate");
  app.fallthrough();  // global options may also stand behind the command
  app.require_subcommand(1);
  app.footer(kExitCodes);
  app.failure_message(usage_error);
  add_global_options(app, &context);
  add_commands(app, &command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_code(ErrorCode::usage);
  }
  look_at_terminals(&context);
  return command(context);
}

}  // namespace vmigrate::cli
