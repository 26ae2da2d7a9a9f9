#include "cli/progress_display.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

constexpr std::uint32_t kLogIntervalMs = 1000;

std::size_t terminal_width() {
  winsize size{};
  constexpr std::size_t usual = 80;
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual;
}

}  // namespace

void ProgressDisplay::show(const control::Migration& migration) {
  bar_ = advanced(bar_, migration);
  migration_ = migration;
  if (has_ended(migration.phase())) return;
  if (context_.format == Format::ndjson) return;  // the documents say it all
  if (!context_.live) return log(migration);
  clear();
  draw();
}

void ProgressDisplay::draw() {
  Style style = context_.message_style;
  style.width = terminal_width() - 1;  // some terminals break the line at the very last column
  std::string text;
  for (const auto& line : progress_lines(migration_, bar_, style)) {
    const auto tone = migration_.phase() == control::NEEDS_ATTENTION ? Tone::warning : Tone::plain;
    text += toned(line, tone, style) + "\n";
    ++drawn_lines_;
  }
  print_message(text);
}

void ProgressDisplay::clear() {
  if (drawn_lines_ == 0) return;
  // ECMA-48: cursor up (CUU), erase from there to the end (ED).
  print_message(fmt::format("\r\x1b[{}A\x1b[J", drawn_lines_));
  drawn_lines_ = 0;
}

void ProgressDisplay::log(const control::Migration& migration) {
  const auto phase = phase_words(migration);
  const auto elapsed = migration.progress().elapsed_ms();
  if (phase == logged_phase_ && elapsed < logged_at_ms_ + kLogIntervalMs) return;
  logged_phase_ = phase;
  logged_at_ms_ = elapsed;
  auto line = progress_line(migration, context_.message_style);
  if (line == logged_line_) return;
  print_message(line + "\n");
  logged_line_ = std::move(line);
}

void ProgressDisplay::note(const std::string& text) {
  const bool redraw = drawn_lines_ > 0;
  clear();
  print_message(text + "\n");
  if (redraw) draw();
}

}  // namespace vmigrate::cli
