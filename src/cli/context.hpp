#pragma once

#include <functional>
#include <string>

#include <google/protobuf/message.h>

#include "base/error.hpp"
#include "cli/style.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::cli {

enum class Format {
  table,   ///< for people
  json,    ///< one document
  ndjson,  ///< a document a line
};

/// What every subcommand works with: where the daemon is, and how results (standard output) and everything
/// else (standard error) look.
struct Context {
  std::string socket;
  Format format = Format::table;
  Style result_style{};
  Style message_style{};
  bool live = false;  ///< standard error is a terminal whose lines can be rewritten
};

/// What this process's terminals can show; `NO_COLOR` and the locale are respected.
void look_at_terminals(Context* context);

/// A subcommand with its arguments; returns the exit code.
using Command = std::function<int(const Context&)>;

/// Writes a result to standard output: `text`, or the document.
void print_result(const Context& context, const google::protobuf::Message& document, const std::string& text);
/// The same for a list: as lines of JSON, each of its elements is a document.
void print_list(const Context& context, const google::protobuf::Message& list, const std::string& text);
/// Writes to standard error, for people.
void print_message(const std::string& text);
/// Says what went wrong on standard error, and as a document where results are documents. The exit code.
int report_error(const Context& context, control::Error error);
int report_error(const Context& context, const vmigrate::Error& error);

/// As the API tells errors.
control::Error to_message(const vmigrate::Error& error, std::string vm_state = {});

/// Asks the daemon something that has one answer, and hands it over; reports errors itself. The exit code:
/// that of `use`, or the error's.
int ask_once(const Context& context, const control::Request& request,
             const std::function<int(const control::Response&)>& use);

}  // namespace vmigrate::cli
