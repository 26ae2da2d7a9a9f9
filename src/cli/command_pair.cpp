#include <iostream>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"
#include "control/client.hpp"

namespace vmigrate::cli {
namespace {

struct PairArguments {
  std::string host;
  std::string address;
  bool enter_code = false;
};

/// Not an argument of the program: those can be seen by everybody on the host, and stay in histories.
std::string read_code(const PairArguments& arguments) {
  if (::isatty(STDIN_FILENO) == 1) print_message(fmt::format("The code that {} shows: ", arguments.host));
  std::string line;
  std::getline(std::cin, line);
  return line;
}

std::string instructions(const control::Pairing& pairing, const PairArguments& arguments) {
  return fmt::format(
      "On {}, as root:  vmigrate pair {} --enter-code\n"
      "and there this code:  {}\n"
      "It counts once, and for {}. Ctrl-C takes it back.\n",
      arguments.host, pairing.this_host(), pairing.code(),
      vmigrate::to_string(Milliseconds(pairing.lifetime_ms())));
}

int pair(const Context& context, const PairArguments& arguments) {
  control::Request request;
  request.mutable_pair()->set_host(arguments.host);
  request.mutable_pair()->set_address(arguments.address);
  if (arguments.enter_code) {
    const auto code = read_code(arguments);
    if (code.empty())
      return report_error(
          context, {ErrorCode::usage, "no code was typed",
                    fmt::format("type the eight digits that {} shows, or pipe them in", arguments.host)});
    request.mutable_pair()->set_code(code);
  }
  control::Response last;
  const auto asked = control::ask(context.socket, request, [&](const control::Response& response) {
    last = response;
    if (response.last() || !response.has_pairing()) return;
    auto printable = response.pairing();
    make_printable(&printable);
    // A program that shows the code to somebody reads it from the result, which is a line of its own then.
    if (context.format == Format::ndjson) print_result(context, response.pairing(), "");
    print_message(instructions(printable, arguments));
  });
  if (!asked) return report_error(context, asked.error());
  if (last.has_error()) return report_error(context, last.error());
  auto printable = last.pairing();
  make_printable(&printable);
  print_result(context, last.pairing(), render_paired(printable, context.result_style));
  return 0;
}

}  // namespace

void add_pair(CLI::App& app, Command* command) {
  const auto arguments = std::make_shared<PairArguments>();
  auto* sub = app.add_subcommand("pair", "Let this host and another trust each other");
  sub->add_option("HOST", arguments->host,
                  "What the other host is called: its host name, or host.name in its migrated.toml")
      ->required();
  sub->add_flag("--enter-code", arguments->enter_code,
                "The other host shows a code already: ask for it, or read it from standard input");
  sub->add_option("--address", arguments->address,
                  "Where the other host is, if not at its name: HOST or HOST:PORT")
      ->type_name("ADDRESS");
  sub->footer(
      "One host shows a code, on the other it is typed; then each knows the other's key, and VMs can move "
      "both\n"
      "ways. Nothing else has to be set up but one open port (16510).\n\n"
      "Examples:\n"
      "  vmigrate pair hostb                                     # on hosta: shows a code, and waits\n"
      "  vmigrate pair hosta --enter-code                        # on hostb: asks for it\n"
      "  vmigrate pair hosta --enter-code --address 10.0.0.1");
  sub->callback([=] { *command = [=](const Context& context) { return pair(context, *arguments); }; });
}

}  // namespace vmigrate::cli
