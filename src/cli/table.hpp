#pragma once

#include <string>
#include <vector>

#include "cli/style.hpp"

namespace vmigrate::cli {

struct Cell {
  Cell(std::string content, Tone cell_tone = Tone::plain) : text(std::move(content)), tone(cell_tone) {}
  Cell(const char* content) : text(content) {}
  std::string text;
  Tone tone = Tone::plain;
};

/// Rows under a head, columns as wide as what is in them, two spaces between. The last column is not padded.
std::string render_table(const std::vector<std::string>& head, const std::vector<std::vector<Cell>>& rows,
                         const Style& style);

}  // namespace vmigrate::cli
