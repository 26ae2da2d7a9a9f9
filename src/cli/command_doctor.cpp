#include <algorithm>
#include <memory>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/hook.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

int doctor(const Context& context, bool fix) {
  if (fix) {
    const auto done = install_hook();
    if (!done) return report_error(context, done.error());
    print_message(*done + "\n");
  }
  control::Request request;
  request.mutable_doctor();
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.doctor();
    make_printable(&printable);
    print_list(context, response.doctor(), render_doctor(printable, context.result_style));
    const bool bad = std::ranges::any_of(response.doctor().items(), [](const control::DoctorItem& item) {
      return item.verdict() != control::DoctorItem::GOOD && item.verdict() != control::DoctorItem::WARNING;
    });
    return bad ? exit_code(ErrorCode::refused) : 0;
  });
}

}  // namespace

void add_doctor(CLI::App& app, Command* command) {
  auto* sub =
      app.add_subcommand("doctor", "Examine what migrations need: libvirt, certificates, hosts, paths");
  const auto fix = std::make_shared<bool>(false);
  sub->add_flag("--fix", *fix,
                "First make libvirt's hook, which keeps VMs that were handed over from being started here");
  sub->footer(
      "Exits with 4 when something is bad.\n\n"
      "Examples:\n"
      "  vmigrate doctor\n"
      "  vmigrate doctor --fix      # as root, once after the installation");
  sub->callback([=] { *command = [=](const Context& context) { return doctor(context, *fix); }; });
}

}  // namespace vmigrate::cli
