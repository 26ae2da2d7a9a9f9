#include "cli/style.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace vmigrate::cli {
namespace {

/// UTF-8: every code point has one byte that is not a continuation.
bool begins_code_point(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

/// SGR parameters of ECMA-48.
std::string_view colour_of(Tone tone) {
  switch (tone) {
    case Tone::plain: return "";
    case Tone::good: return "32";
    case Tone::warning: return "33";
    case Tone::bad: return "31";
    case Tone::faint: return "2";
  }
  return "";
}

}  // namespace

std::string toned(std::string_view text, Tone tone, const Style& style) {
  if (!style.colour || tone == Tone::plain) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", colour_of(tone), text);
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_code_point));
}

std::string fitted(std::string_view text, std::size_t width, const Style& style) {
  if (display_width(text) <= width) return std::string(text);
  const std::string_view mark = style.unicode ? "…" : "~";
  std::size_t columns = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    if (begins_code_point(text[end]) && ++columns >= width) break;
    ++end;
  }
  return fmt::format("{}{}", text.substr(0, end), width == 0 ? "" : mark);
}

std::string_view arrow(const Style& style) {
  return style.unicode ? "→" : "->";
}

}  // namespace vmigrate::cli
