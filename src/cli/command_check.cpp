#include <algorithm>
#include <memory>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

struct CheckArguments {
  std::string vm;
  std::vector<std::string> hosts;
};

/// Hosts that were asked for by name have to be possible all; of the others one is enough.
int exit_code_of_check(const control::CheckReport& report, bool named) {
  const auto possible = std::ranges::count_if(report.hosts(), &control::HostCheck::possible);
  if (possible == report.hosts().size() || (!named && possible > 0)) return 0;
  // One host: the reason itself, such as that it is not known or does not answer.
  if (report.hosts().size() == 1 && !report.hosts(0).findings().empty()) {
    return exit_code_of(report.hosts(0).findings(0));
  }
  return exit_code(ErrorCode::refused);
}

}  // namespace

int check(const Context& context, const std::string& vm, const std::vector<std::string>& hosts) {
  control::Request request;
  request.mutable_check()->set_vm(vm);
  for (const auto& host : hosts) request.mutable_check()->add_hosts(host);
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.check();
    make_printable(&printable);
    print_list(context, response.check(), render_check(printable, context.result_style));
    return exit_code_of_check(response.check(), !hosts.empty());
  });
}

void add_check(CLI::App& app, Command* command) {
  const auto arguments = std::make_shared<CheckArguments>();
  auto* sub = app.add_subcommand("check", "Say whether a VM could move, and why not; change nothing");
  sub->add_option("VM", arguments->vm, "Name or UUID of a VM that runs on this host")->required();
  sub->add_option("HOST", arguments->hosts, "Hosts to ask (default: all configured ones)");
  sub->footer(
      "Exits with 0 when the VM can move to all hosts that were named, or, with none named, to any of "
      "them.\n\n"
      "Examples:\n"
      "  vmigrate check web1\n"
      "  vmigrate check web1 hostb hostc");
  sub->callback([=] {
    *command = [=](const Context& context) { return check(context, arguments->vm, arguments->hosts); };
  });
}

}  // namespace vmigrate::cli
