#include "cli/table.hpp"

#include <algorithm>

namespace vmigrate::cli {

std::string render_table(const std::vector<std::string>& head, const std::vector<std::vector<Cell>>& rows,
                         const Style& style) {
  std::vector<std::size_t> widths;
  widths.reserve(head.size());
  for (const auto& title : head) widths.push_back(display_width(title));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i].text));
  }
  std::string text;
  const auto add = [&](const Cell& cell, std::size_t column) {
    text += toned(cell.text, cell.tone, style);
    if (column + 1 < head.size()) text.append(widths[column] - display_width(cell.text) + 2, ' ');
  };
  const auto end_line = [&] {
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  for (std::size_t i = 0; i < head.size(); ++i) add(Cell(head[i], Tone::faint), i);
  end_line();
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) add(row[i], i);
    end_line();
  }
  return text;
}

}  // namespace vmigrate::cli
