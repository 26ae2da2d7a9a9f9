#pragma once

#include <CLI/CLI.hpp>

#include "cli/context.hpp"

/// One function a subcommand: it describes the arguments, and when the user has chosen it, sets `command`.
namespace vmigrate::cli {

void add_start(CLI::App& app, Command* command);
void add_check(CLI::App& app, Command* command);
void add_list(CLI::App& app, Command* command);
void add_show(CLI::App& app, Command* command);
void add_watch(CLI::App& app, Command* command);
void add_cancel(CLI::App& app, Command* command);
void add_history(CLI::App& app, Command* command);
void add_hosts(CLI::App& app, Command* command);
void add_doctor(CLI::App& app, Command* command);
void add_pair(CLI::App& app, Command* command);
void add_peers(CLI::App& app, Command* command);
void add_resolve(CLI::App& app, Command* command);
void add_audit(CLI::App& app, Command* command);
void add_version(CLI::App& app, Command* command);

/// The argument of those that are about one migration: what the daemon finds it by.
void add_vm_or_id(CLI::App* subcommand, std::string* vm_or_id);

/// Asks what stands against moving `vm` to these hosts (none: every configured one), and prints it. The exit
/// code. Also what `start --check` does.
int check(const Context& context, const std::string& vm, const std::vector<std::string>& hosts);

}  // namespace vmigrate::cli
