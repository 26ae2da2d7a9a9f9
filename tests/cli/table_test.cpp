#include "cli/table.hpp"

#include <gtest/gtest.h>

namespace vmigrate::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirContentWithOrWithoutColour) {
  const std::vector<std::vector<Cell>> rows{{"größer", {"good", Tone::good}, "x"}, {"a", "b", ""}};
  EXPECT_EQ(render_table({"A", "STATE", "C"}, rows, {}),
            "A       STATE  C\n"
            "größer  good   x\n"
            "a       b\n");
  EXPECT_EQ(render_table({"A", "STATE", "C"}, rows, {.colour = true}),
            "\x1b[2mA\x1b[0m       \x1b[2mSTATE\x1b[0m  \x1b[2mC\x1b[0m\n"
            "größer  \x1b[32mgood\x1b[0m   x\n"
            "a       b\n");
}

TEST(Style, TextIsCutBetweenCharacters) {
  EXPECT_EQ(fitted("größer", 6, {}), "größer");
  EXPECT_EQ(fitted("größer", 5, {}), "größ…");
  EXPECT_EQ(fitted("größer", 4, {.unicode = false}), "grö~");
  EXPECT_EQ(fitted("größer", 1, {}), "…");
  EXPECT_EQ(fitted("größer", 0, {}), "");
}

}  // namespace
}  // namespace vmigrate::cli
