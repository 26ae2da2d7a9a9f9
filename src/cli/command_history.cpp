#include <memory>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

struct HistoryArguments {
  std::string vm;
  std::uint32_t limit = 20;
};

int history(const Context& context, const HistoryArguments& arguments) {
  control::Request request;
  request.mutable_history()->set_vm(arguments.vm);
  request.mutable_history()->set_limit(arguments.limit);
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.migrations();
    make_printable(&printable);
    print_list(context, response.migrations(), render_history(printable, context.result_style));
    return 0;
  });
}

}  // namespace

void add_history(CLI::App& app, Command* command) {
  const auto arguments = std::make_shared<HistoryArguments>();
  auto* sub = app.add_subcommand("history", "List the migrations that have ended, the newest first");
  sub->add_option("VM", arguments->vm, "Only those of this VM (name or UUID)");
  sub->add_option("-n,--limit", arguments->limit, "How many")
      ->check(CLI::Range(std::uint32_t{1}, std::uint32_t{1000}))
      ->capture_default_str();
  sub->footer(
      "Examples:\n"
      "  vmigrate history\n"
      "  vmigrate history web1 --limit 5\n"
      "  vmigrate history -o ndjson | jq .receipt.pause_ms");
  sub->callback([=] { *command = [=](const Context& context) { return history(context, *arguments); }; });
}

}  // namespace vmigrate::cli
