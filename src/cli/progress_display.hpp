#pragma once

#include <cstdint>
#include <string>

#include "cli/context.hpp"
#include "cli/progress.hpp"

namespace vmigrate::cli {

/// Shows a migration under way on standard error: two lines that are rewritten on a terminal, else a line for
/// each new phase and one a second within it. Takes its lines away at its end.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(const Context& context) : context_(context) {}
  ~ProgressDisplay() { clear(); }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void show(const control::Migration& migration);
  /// A line that stays.
  void note(const std::string& text);

 private:
  void clear();
  void draw();
  void log(const control::Migration& migration);

  const Context& context_;
  control::Migration migration_;
  Bar bar_;
  std::size_t drawn_lines_ = 0;
  std::string logged_phase_;
  std::string logged_line_;
  std::uint32_t logged_at_ms_ = 0;
};

}  // namespace vmigrate::cli
