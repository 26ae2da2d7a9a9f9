#include "audit/entry.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/text.hpp"

namespace vmigrate::audit {
namespace {

Entry full_entry() {
  Entry entry;
  entry.number = 7;
  entry.time = WallTime(std::chrono::milliseconds(1'764'117'604'123));
  entry.action = "start";
  entry.result = "refused";
  entry.user = "alice (uid 1000)";
  entry.peer = "hostb";
  entry.address = "10.0.0.2:4711";
  entry.vm = "web1";
  entry.vm_id = "0b1f";
  entry.migration = "22aa";
  entry.source_host = "hosta";
  entry.destination_host = "hostb";
  entry.reason = "there is no bridge \"br0\"";
  entry.count = 3;
  entry.head = Head{12, std::string(64, 'a')};
  return entry;
}

// Whoever verifies a trail by hand relies on these very bytes: docs/audit.md has them.
TEST(EntryTest, ItsTextIsTheOneThatIsDocumented) {
  EXPECT_EQ(text_of(full_entry()),
            R"json({"number":7,"time_unix_ms":1764117604123,"action":"start","result":"refused",)json"
            R"json("user":"alice (uid 1000)","peer":"hostb","address":"10.0.0.2:4711","vm":"web1",)json"
            R"json("vm_id":"0b1f","migration":"22aa","source_host":"hosta","destination_host":"hostb",)json"
            R"json("reason":"there is no bridge \"br0\"","count":3,"head":{"number":12,"hash":")json" +
                std::string(64, 'a') + R"json("}})json");
}

TEST(EntryTest, WhatIsNotSaidIsLeftOut) {
  Entry entry;
  entry.number = 1;
  entry.action = "serve";
  EXPECT_EQ(text_of(entry), R"({"number":1,"time_unix_ms":0,"action":"serve"})");
}

TEST(EntryTest, ComesBackFromItsText) {
  const auto back = parse_entry(text_of(full_entry()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, full_entry());
}

RC_GTEST_PROP(EntryTest, AnyBytesComeBackAsFarAsTheyAreText,
              (const std::string& vm, const std::string& reason)) {
  Entry entry;
  entry.number = 1;
  entry.vm = vm;
  entry.reason = reason;
  const auto back = parse_entry(text_of(entry));
  RC_ASSERT(back.has_value());
  RC_ASSERT(back->vm == valid_utf8(vm));
  RC_ASSERT(back->reason == valid_utf8(reason));
}

TEST(EntryTest, ATextWithoutEndIsCutBetweenItsCharacters) {
  Entry entry;
  for (int i = 0; i < 400'000; ++i) entry.reason += "ä";
  const auto text = text_of(entry);
  EXPECT_LT(text.size(), 1100U);
  cut_texts(entry);
  EXPECT_EQ(text_of(entry), text);
  EXPECT_EQ(text.find('?'), std::string::npos);
  EXPECT_NE(text.find("ä…"), std::string::npos);
}

TEST(EntryTest, WhatIsNoEntryIsRefused) {
  for (const auto* text : {"", "{", "[]", "null", "7", R"({"number":1})",
                           R"({"number":"1","time_unix_ms":2})", R"({"number":-1,"time_unix_ms":2})"}) {
    EXPECT_FALSE(parse_entry(text)) << text;
  }
}

TEST(EntryTest, FieldsOfAnotherKindAreNotTaken) {
  const auto entry =
      parse_entry(R"({"number":1,"time_unix_ms":2,"vm":["x"],"head":7,"count":-1,"later":true})");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->vm, "");
  EXPECT_FALSE(entry->head);
  EXPECT_EQ(entry->count, 0U);
}

TEST(EntryTest, AUserIsFoundByNameAndByNumberAndByNothingElse) {
  Entry entry;
  entry.user = "alice (uid 1000)";
  EXPECT_TRUE(is_user(entry, "alice"));
  EXPECT_TRUE(is_user(entry, "1000"));
  for (const auto* other : {"", "alic", "100", "uid", "alice (uid 1", "10000"})
    EXPECT_FALSE(is_user(entry, other));
  // Whatever a directory of users calls somebody.
  entry.user = "root (uid 0) (uid 1001)";
  EXPECT_FALSE(is_user(entry, "root"));
  EXPECT_FALSE(is_user(entry, "0"));
  EXPECT_TRUE(is_user(entry, "1001"));
}

}  // namespace
}  // namespace vmigrate::audit
