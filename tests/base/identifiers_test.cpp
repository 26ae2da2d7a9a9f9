#include "base/identifiers.hpp"

#include <gtest/gtest.h>

namespace vmigrate {
namespace {

TEST(Uuid, OnlyTheCanonicalFormIsTaken) {
  const auto id = VmId::parse("123E4567-e89b-12d3-a456-426614174000");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->text(), "123e4567-e89b-12d3-a456-426614174000");
  for (const char* bad :
       {"", "123e4567e89b12d3a456426614174000", "../../etc/passwd", "123e4567-e89b-12d3-a456-42661417400g",
        "123e4567-e89b-12d3-a456-4266141740000", "123e4567-e89b-12d3-a456_426614174000"}) {
    EXPECT_FALSE(VmId::parse(bad)) << bad;
  }
}

TEST(Uuid, RandomOnesDifferAndParse) {
  const auto first = MigrationId::random();
  const auto second = MigrationId::random();
  EXPECT_NE(first, second);
  EXPECT_EQ(MigrationId::parse(first.text()), first);
  EXPECT_EQ(first.text()[14], '4');
}

}  // namespace
}  // namespace vmigrate
