#include "trail_fixture.hpp"

#include <algorithm>

#include <sqlite3.h>

namespace vmigrate::audit {

Entry entry(const std::string& action, const std::string& vm, const std::string& user) {
  Entry entry;
  entry.action = action;
  entry.result = "done";
  entry.user = user;
  entry.vm = vm;
  return entry;
}

void TrailTest::make(int count) const {
  const auto trail = open();
  for (int i = 1; i <= count; ++i) ASSERT_TRUE(trail->record(entry("e" + std::to_string(i))));
}

void TrailTest::execute(const std::string& sql) const {
  sqlite3* database = nullptr;
  ASSERT_EQ(::sqlite3_open(path_.c_str(), &database), SQLITE_OK);
  // Its own writer may be at it just now.
  ::sqlite3_busy_timeout(database, 30'000);
  EXPECT_EQ(::sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << ::sqlite3_errmsg(database);
  ::sqlite3_close(database);
}

std::vector<Entry> TrailTest::entries(DurableTrail& trail) {
  const auto list = trail.list({}, 0, 1'000'000);
  EXPECT_TRUE(list) << list.error().message;
  std::vector<Entry> result;
  for (const auto& shown : list.value_or(std::vector<ShownEntry>())) result.push_back(shown.entry);
  std::reverse(result.begin(), result.end());
  return result;
}

std::vector<std::string> TrailTest::actions(DurableTrail& trail) {
  std::vector<std::string> result;
  for (const auto& each : entries(trail)) result.push_back(each.action);
  return result;
}

std::vector<std::string> TrailTest::findings(const std::vector<ChainCheck::Witnessed>& witnessed) const {
  const auto verified = open()->verify(witnessed);
  EXPECT_TRUE(verified) << verified.error().message;
  return verified ? verified->findings : std::vector<std::string>{"not looked at"};
}

Head TrailTest::head() const {
  return open()->head().value_or(Head());
}

}  // namespace vmigrate::audit
