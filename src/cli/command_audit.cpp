#include <algorithm>
#include <chrono>
#include <memory>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/since.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

struct AuditArguments {
  std::uint64_t since_unix_ms = 0;
  std::string vm;
  std::string user;
  std::uint32_t limit = 100;
};

std::uint64_t since_argument(const std::string& text) {
  const auto since = parse_since(text, std::chrono::system_clock::now());
  if (!since) throw CLI::ValidationError("--since", since.error().message + "; " + since.error().hint);
  const auto passed =
      std::chrono::duration_cast<std::chrono::milliseconds>(since->time_since_epoch()).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, passed));
}

/// Asks for page after page, the newest first, until there are enough. The exit code.
int collect(const Context& context, const AuditArguments& arguments, control::AuditList* entries) {
  control::Request request;
  auto* audit = request.mutable_audit();
  audit->set_since_unix_ms(arguments.since_unix_ms);
  audit->set_vm(arguments.vm);
  audit->set_user(arguments.user);
  for (bool more = true; more;) {
    const auto wanted =
        arguments.limit == 0 ? 0 : arguments.limit - static_cast<std::uint32_t>(entries->entries_size());
    audit->set_limit(wanted);
    const int asked = ask_once(context, request, [&](const control::Response& response) {
      const auto& page = response.audit();
      entries->mutable_entries()->MergeFrom(page.entries());
      more = page.more() && !page.entries().empty();
      return 0;
    });
    if (asked != 0) return asked;
    if (!entries->entries().empty()) audit->set_before(entries->entries().rbegin()->number());
    const auto have = static_cast<std::uint32_t>(entries->entries_size());
    if (arguments.limit != 0 && have >= arguments.limit) more = false;
  }
  return 0;
}

int audit(const Context& context, const AuditArguments& arguments) {
  control::AuditList entries;
  if (const int failed = collect(context, arguments, &entries); failed != 0) return failed;
  // As they were written.
  std::reverse(entries.mutable_entries()->begin(), entries.mutable_entries()->end());
  auto printable = entries;
  make_printable(&printable);
  print_list(context, entries, render_audit(printable, context.result_style));
  return 0;
}

int verify(const Context& context) {
  control::Request request;
  request.mutable_audit_verify();
  return ask_once(context, request, [&](const control::Response& response) {
    const auto& report = response.audit_report();
    auto printable = report;
    make_printable(&printable);
    print_result(context, report, render_audit_report(printable, context.result_style));
    if (!report.findings().empty()) return exit_code(ErrorCode::refused);
    const bool all_asked = std::ranges::all_of(
        report.witnesses(), [](const control::AuditWitness& witness) { return witness.problem().empty(); });
    return all_asked ? 0 : exit_code(ErrorCode::unreachable);
  });
}

}  // namespace

void add_audit(CLI::App& app, Command* command) {
  const auto arguments = std::make_shared<AuditArguments>();
  auto* sub = app.add_subcommand("audit", "List who asked this host for what, and what became of it");
  sub->add_option_function<std::string>(
         "--since", [=](const std::string& text) { arguments->since_unix_ms = since_argument(text); },
         "Only what came later, such as 12h (ago), 7d or 2026-11-25")
      ->type_name("TIME");
  sub->add_option("--vm", arguments->vm, "Only what concerns this VM (name or UUID)")->type_name("VM");
  sub->add_option("--user", arguments->user, "Only what this user asked for (name or number)")
      ->type_name("USER");
  sub->add_option("-n,--limit", arguments->limit, "How many, the newest; 0: all")->capture_default_str();
  sub->footer(
      "Examples:\n"
      "  vmigrate audit --since 7d --vm web1\n"
      "  vmigrate audit --user alice --limit 0 -o ndjson\n"
      "  vmigrate audit verify      # is it as it was written?");
  sub->callback([=] {
    if (!sub->get_subcommands().empty()) return;
    *command = [=](const Context& context) { return audit(context, *arguments); };
  });

  auto* look = sub->add_subcommand("verify", "Find entries that were changed, removed or put elsewhere");
  look->footer(
      "Compares the trail with what the other hosts have noted of it. Exits with 4 when something was found, "
      "with 8\n"
      "when a host could not be asked and nothing was found.");
  look->callback([=] { *command = [](const Context& context) { return verify(context); }; });
}

}  // namespace vmigrate::cli
