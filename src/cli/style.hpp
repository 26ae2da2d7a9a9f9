#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vmigrate::cli {

/// What the place that text goes to can show.
struct Style {
  bool colour = false;
  bool unicode = true;
  std::size_t width = 80;  ///< columns; counts only for what is rewritten in place
};

enum class Tone { plain, good, warning, bad, faint };

/// The text in the tone's colour, if there are colours.
std::string toned(std::string_view text, Tone tone, const Style& style);

/// Columns that the text takes: its code points.
std::size_t display_width(std::string_view text);

/// The text, cut so that it fits into `width` columns; "…" says that it was cut.
std::string fitted(std::string_view text, std::size_t width, const Style& style);

/// "→", or "->" where that cannot be shown.
std::string_view arrow(const Style& style);

}  // namespace vmigrate::cli
