#include "cli/context.hpp"

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include <google/protobuf/descriptor.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/json.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"
#include "control/client.hpp"

namespace vmigrate::cli {
namespace {

constexpr int kIndentation = 2;

/// https://no-color.org: any value but the empty one turns colours off.
bool colours_wanted() {
  // One thread at this point. NOLINTNEXTLINE(concurrency-mt-unsafe)
  const char* refused = std::getenv("NO_COLOR");
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  const char* terminal = std::getenv("TERM");
  return (refused == nullptr || *refused == '\0') && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

bool can_rewrite_lines() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

std::string as_line(const nlohmann::ordered_json& document) {
  // What is not UTF-8 is replaced, not an exception.
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string as_document(const nlohmann::ordered_json& document) {
  return document.dump(kIndentation, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void write_result(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

void look_at_terminals(Context* context) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  std::setlocale(LC_CTYPE, "");
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  const bool unicode = std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
  const bool colour = colours_wanted();
  context->result_style = {.colour = colour && ::isatty(STDOUT_FILENO) == 1, .unicode = unicode};
  context->message_style = {.colour = colour && ::isatty(STDERR_FILENO) == 1, .unicode = unicode};
  context->live = can_rewrite_lines() && context->format != Format::ndjson;
}

void print_result(const Context& context, const google::protobuf::Message& document,
                  const std::string& text) {
  switch (context.format) {
    case Format::table: return write_result(text);
    case Format::json: return write_result(as_document(to_json(document)));
    case Format::ndjson: return write_result(as_line(to_json(document)));
  }
}

void print_list(const Context& context, const google::protobuf::Message& list, const std::string& text) {
  if (context.format != Format::ndjson) return print_result(context, list, text);
  const auto document = to_json(list);
  for (const auto& [name, elements] : document.items()) {
    if (!elements.is_array()) continue;
    for (const auto& element : elements) write_result(as_line(element));
  }
}

void print_message(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

control::Error to_message(const vmigrate::Error& error, std::string vm_state) {
  control::Error message;
  message.set_code(static_cast<std::uint32_t>(error.code));
  message.set_message(error.message);
  message.set_hint(error.hint);
  message.set_vm_state(std::move(vm_state));
  return message;
}

int report_error(const Context& context, control::Error error) {
  if (context.format != Format::table) {
    const nlohmann::ordered_json document{{"error", to_json(error)}};
    write_result(context.format == Format::json ? as_document(document) : as_line(document));
  }
  make_printable(&error);
  print_message(render_error(error, context.message_style));
  return exit_code_of(error);
}

int report_error(const Context& context, const vmigrate::Error& error) {
  return report_error(context, to_message(error));
}

int ask_once(const Context& context, const control::Request& request,
             const std::function<int(const control::Response&)>& use) {
  std::optional<control::Response> answer;
  const auto asked =
      control::ask(context.socket, request, [&](const control::Response& response) { answer = response; });
  if (!asked) return report_error(context, asked.error());
  if (!answer) return report_error(context, {ErrorCode::unreachable, "migrated gave no answer", ""});
  if (answer->has_error()) return report_error(context, answer->error());
  return use(*answer);
}

}  // namespace vmigrate::cli
