#include <memory>

#include <fmt/format.h>

#include "base/units.hpp"
#include "cli/commands.hpp"
#include "cli/follow.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

constexpr Milliseconds kLongestPause = std::chrono::minutes(30);  // QEMU takes 2,000 s at most
constexpr Milliseconds kLongestMigration = std::chrono::hours(24 * 30);
constexpr Percent kMostSlowdown{90};  // as the daemon has it

struct StartArguments {
  std::string vm;
  std::string host;
  Milliseconds max_pause{};
  Rate bandwidth{};
  bool keep_source_definition = false;
  Milliseconds finish_by{};
  control::OnStall on_stall = control::ON_STALL_UNSPECIFIED;
  Percent max_slowdown;
  bool detach = false;
  bool check_only = false;
};

Milliseconds duration_argument(const std::string& option, const std::string& text, Milliseconds longest) {
  const auto duration = parse_duration(text);
  if (!duration) throw CLI::ValidationError(option, duration.error().message + "; " + duration.error().hint);
  if (*duration < Milliseconds(1) || *duration > longest) {
    throw CLI::ValidationError(
        option, fmt::format("'{}' is not possible; 1ms to {} is", text, vmigrate::to_string(longest)));
  }
  return *duration;
}

Rate bandwidth_argument(const std::string& text) {
  const auto rate = parse_rate(text);
  if (!rate) throw CLI::ValidationError("--bandwidth", rate.error().message + "; " + rate.error().hint);
  if (rate->bytes_per_second == 0) throw CLI::ValidationError("--bandwidth", "with 0 nothing would move");
  return *rate;
}

Percent slowdown_argument(const std::string& text) {
  const auto percent = parse_percent(text);
  if (!percent)
    throw CLI::ValidationError("--max-slowdown", percent.error().message + "; " + percent.error().hint);
  if (*percent > kMostSlowdown) {
    throw CLI::ValidationError("--max-slowdown", fmt::format("'{}' is not possible; 0% to {} is", text,
                                                             vmigrate::to_string(kMostSlowdown)));
  }
  return *percent;
}

control::OnStall on_stall_argument(const std::string& text) {
  if (text == "abort") return control::ON_STALL_ABORT;
  if (text == "pause") return control::ON_STALL_PAUSE;
  throw CLI::ValidationError("--on-stall", fmt::format("'{}' is not possible; abort or pause is", text));
}

control::Request request_for(const StartArguments& arguments) {
  control::Request request;
  auto* start = request.mutable_start();
  start->set_vm(arguments.vm);
  start->set_host(arguments.host);
  start->set_max_pause_ms(static_cast<std::uint32_t>(arguments.max_pause.count()));
  start->set_bandwidth(arguments.bandwidth.bytes_per_second);
  start->set_keep_source_definition(arguments.keep_source_definition);
  start->set_finish_by_ms(static_cast<std::uint32_t>(arguments.finish_by.count()));
  start->set_on_stall(arguments.on_stall);
  start->set_max_slowdown_percent(arguments.max_slowdown.count);
  start->set_wait(!arguments.detach);
  return request;
}

int start_detached(const Context& context, const control::Request& request) {
  return ask_once(context, request, [&](const control::Response& response) {
    const auto& migration = response.migration();
    if (has_ended(migration.phase())) return print_end(context, migration);
    auto printable = migration;
    make_printable(&printable);
    print_result(context, migration, printable.id() + "\n");
    print_message(fmt::format("{} is moving to {}; follow it: vmigrate watch {}\n", printable.vm(),
                              printable.destination_host(), printable.vm()));
    return 0;
  });
}

int start(const Context& context, const StartArguments& arguments) {
  if (arguments.check_only) return check(context, arguments.vm, {arguments.host});
  const auto request = request_for(arguments);
  if (arguments.detach) return start_detached(context, request);
  auto interrupts = Interrupts::create();
  if (!interrupts) return report_error(context, interrupts.error());
  return Follower(context, {.vm = arguments.vm, .cancel_on_interrupt = true}, std::move(*interrupts))
      .run(request);
}

}  // namespace

void add_start(CLI::App& app, Command* command) {
  const auto arguments = std::make_shared<StartArguments>();
  auto* sub = app.add_subcommand("start", "Move a running VM to another host")->alias("move");
  sub->add_option("VM", arguments->vm, "Name or UUID of a VM that runs on this host")->required();
  sub->add_option("HOST", arguments->host, "Where to: a name from migrated.toml (see: vmigrate hosts)")
      ->required();
  sub->add_option_function<std::string>(
         "--max-pause",
         [=](const std::string& text) {
           arguments->max_pause = duration_argument("--max-pause", text, kLongestPause);
         },
         "How long the VM may stand still at the switchover, like 300ms (default: as configured)")
      ->type_name("TIME");
  sub->add_option_function<std::string>(
         "--bandwidth", [=](const std::string& text) { arguments->bandwidth = bandwidth_argument(text); },
         "The most to send, like 2Gbit or 250MB a second (default: as configured)")
      ->type_name("RATE");
  sub->add_option_function<std::string>(
         "--finish-by",
         [=](const std::string& text) {
           arguments->finish_by = duration_argument("--finish-by", text, kLongestMigration);
         },
         "After this time, like 10m, do what --on-stall says (default: no limit)")
      ->type_name("TIME");
  sub->add_option_function<std::string>(
         "--max-slowdown",
         [=](const std::string& text) { arguments->max_slowdown = slowdown_argument(text); },
         "If the VM changes its memory faster than it can be moved: slow it step by step, by up to this "
         "share of its time, like 30%, before --on-stall (default: 0%, never)")
      ->type_name("PERCENT");
  sub->add_option_function<std::string>(
         "--on-stall", [=](const std::string& text) { arguments->on_stall = on_stall_argument(text); },
         "If the VM changes its memory faster than it can be moved: abort the move, or pause the VM for as "
         "long as the rest takes (default: abort)")
      ->type_name("abort|pause");
  sub->add_flag("--keep-source-definition", arguments->keep_source_definition,
                "Leave the VM's definition on this host (it will not run here)");
  sub->add_flag("--detach", arguments->detach, "Print the migration's id and do not wait");
  sub->add_flag("--check", arguments->check_only, "Only say whether it would be possible; change nothing");
  sub->footer(
      "The VM keeps running while it moves. Ctrl-C asks for cancel and waits until the VM runs on here as "
      "before;\n"
      "a second Ctrl-C leaves without waiting.\n\n"
      "Examples:\n"
      "  vmigrate start web1 hostb\n"
      "  vmigrate start web1 hostb --max-pause 50ms --bandwidth 500Mbit\n"
      "  vmigrate start web1 hostb --check\n"
      "  id=$(vmigrate start web1 hostb --detach) && vmigrate watch $id\n"
      "  vmigrate start web1 hostb -o json | jq .receipt.pause_ms");
  sub->callback([=] { *command = [=](const Context& context) { return start(context, *arguments); }; });
}

}  // namespace vmigrate::cli
