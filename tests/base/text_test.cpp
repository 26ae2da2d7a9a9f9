#include "base/text.hpp"

#include <gtest/gtest.h>

namespace vmigrate {
namespace {

TEST(ValidUtf8, KeepsWhatIsWellFormed) {
  for (const std::string text : {"", "plain", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(valid_utf8(text), text);
  }
  EXPECT_EQ(valid_utf8(std::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(ValidUtf8, ReplacesEachByteThatIsNot) {
  EXPECT_EQ(valid_utf8("gr\xfc\xdf"), "gr??") << "an old encoding";
  EXPECT_EQ(valid_utf8("\xc3"), "?") << "cut";
  EXPECT_EQ(valid_utf8("\xe2\x82"), "??") << "cut";
  EXPECT_EQ(valid_utf8("\xe2\x28\xa1"), "?(?");
  EXPECT_EQ(valid_utf8("\x80x"), "?x") << "no beginning";
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "??") << "longer than needed";
  EXPECT_EQ(valid_utf8("\xe0\x80\xaf"), "???") << "longer than needed";
  EXPECT_EQ(valid_utf8("\xf0\x80\x80\xaf"), "????") << "longer than needed";
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), "????") << "beyond the last";
  EXPECT_EQ(valid_utf8("\xff\xfe"), "??");
}

}  // namespace
}  // namespace vmigrate
