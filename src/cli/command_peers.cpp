#include <memory>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

int list_peers(const Context& context) {
  control::Request request;
  request.mutable_peers();
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.peers();
    make_printable(&printable);
    print_list(context, response.peers(), render_peers(printable, context.result_style));
    return 0;
  });
}

int remove(const Context& context, const std::string& host) {
  control::Request request;
  request.mutable_remove_peer()->set_host(host);
  return ask_once(context, request, [&](const control::Response& response) {
    auto printable = response.peers();
    make_printable(&printable);
    print_list(context, response.peers(), fmt::format("{} is trusted no more\n", host));
    print_message(fmt::format(
        "to end it on the other side, too, on {}: vmigrate peers remove, with the name of this host\n",
        host));
    return 0;
  });
}

}  // namespace

void add_peers(CLI::App& app, Command* command) {
  auto* sub = app.add_subcommand("peers", "List the hosts that this one trusts, or end that");
  sub->require_subcommand(1);
  auto* listing = sub->add_subcommand("list", "List the hosts that this one trusts, and why");
  listing->callback([=] { *command = list_peers; });
  auto* removal = sub->add_subcommand("remove", "Trust a host no more");
  const auto host = std::make_shared<std::string>();
  removal->add_option("HOST", *host, "A host that was paired (see: vmigrate peers list)")->required();
  removal->footer(
      "Its sessions end at once. A VM that is being moved to it or from it stays where it is;\n"
      "one that was handed over just then may need attention, as when the link breaks for good.\n\n"
      "Examples:\n"
      "  vmigrate peers remove hostb");
  removal->callback([=] { *command = [=](const Context& context) { return remove(context, *host); }; });
  sub->footer(
      "Examples:\n"
      "  vmigrate peers list\n"
      "  vmigrate peers remove hostb");
}

}  // namespace vmigrate::cli
