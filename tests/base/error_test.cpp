#include "base/error.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace vmigrate {
namespace {

TEST(Error, ContextGoesInFrontAndKeepsTheRest) {
  const Error inner{ErrorCode::unreachable, "connection refused", "start migrated on hostb"};
  const Error outer = inner.in("hostb");
  EXPECT_EQ(outer.message, "hostb: connection refused");
  EXPECT_EQ(outer.code, ErrorCode::unreachable);
  EXPECT_EQ(outer.hint, inner.hint);
}

TEST(Error, ExitCodesAreTheDocumentedOnes) {
  EXPECT_EQ(exit_code(ErrorCode::failed), 1);
  EXPECT_EQ(exit_code(ErrorCode::usage), 2);
  EXPECT_EQ(exit_code(ErrorCode::not_found), 3);
  EXPECT_EQ(exit_code(ErrorCode::refused), 4);
  EXPECT_EQ(exit_code(ErrorCode::not_allowed), 5);
  EXPECT_EQ(exit_code(ErrorCode::cancelled), 6);
  EXPECT_EQ(exit_code(ErrorCode::not_converging), 7);
  EXPECT_EQ(exit_code(ErrorCode::unreachable), 8);
  EXPECT_EQ(exit_code(ErrorCode::needs_attention), 9);
}

TEST(Error, SystemCallsSayWhatAndWhy) {
  const Result<> result = fail_errno("cannot open /x", ENOENT);
  EXPECT_EQ(result.error().message, "cannot open /x: No such file or directory");
}

}  // namespace
}  // namespace vmigrate
