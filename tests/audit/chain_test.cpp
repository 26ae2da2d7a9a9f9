#include "audit/chain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::audit {
namespace {

using testing::IsEmpty;

std::vector<Row> chain(int count) {
  std::vector<Row> rows;
  std::string previous = first_link();
  for (int i = 1; i <= count; ++i) {
    Entry entry;
    entry.number = static_cast<std::uint64_t>(i);
    entry.time = WallTime(std::chrono::milliseconds(1000 + i));
    entry.action = "start";
    entry.vm = "vm" + std::to_string(i % 3);
    auto text = text_of(entry);
    previous = hash_of(previous, text);
    rows.push_back({entry.number, std::move(text), previous});
  }
  return rows;
}

Head head_of(const Row& row) {
  return {row.number, row.hash};
}

std::vector<std::string> findings(const std::vector<Row>& rows,
                                  const std::vector<ChainCheck::Witnessed>& others = {},
                                  const std::optional<Head>& written = std::nullopt) {
  ChainCheck check;
  for (const auto& other : others) check.expect(other);
  for (const auto& row : rows) check.add(row);
  check.finish(written);
  return check.findings();
}

TEST(ChainTest, TheHashIsTheDocumentedOne) {
  // printf '%064d\n%s' 0 '{"number":1}' | sha256sum
  EXPECT_EQ(hash_of(first_link(), R"({"number":1})"),
            "fdf3caeae8da4690e1dc589ec1bf241530e23941da239304475fb1806c832078");
}

TEST(ChainTest, NothingIsFoundInATrailThatIsAsItWasWritten) {
  EXPECT_THAT(findings({}), IsEmpty());
  const auto rows = chain(20);
  EXPECT_THAT(findings(rows, {{"hostb", head_of(rows[4])}, {"hostc", head_of(rows[19])}}, head_of(rows[19])),
              IsEmpty());
}

// Whoever changes an entry and its own hash has not changed those behind it.
RC_GTEST_PROP(ChainTest, EveryChangeOfATextIsFound, ()) {
  auto rows = chain(10);
  auto& row = rows[*rc::gen::inRange<std::size_t>(0, 10)];
  auto& byte = row.text[*rc::gen::inRange<std::size_t>(0, row.text.size())];
  byte = static_cast<char>(byte ^ *rc::gen::inRange(1, 127));
  RC_ASSERT(!findings(rows).empty());
  if (row.number > 1 && row.number < 10) {
    row.hash = hash_of(rows[row.number - 2].hash, row.text);
    RC_ASSERT(!findings(rows).empty());
  }
}

RC_GTEST_PROP(ChainTest, EveryRemovalInTheMiddleAndAtTheBeginningIsFound, ()) {
  auto rows = chain(10);
  const auto from = *rc::gen::inRange<std::ptrdiff_t>(0, 9);
  const auto to = *rc::gen::inRange<std::ptrdiff_t>(from + 1, 10);
  rows.erase(rows.begin() + from, rows.begin() + to);
  RC_ASSERT(!findings(rows).empty());
}

RC_GTEST_PROP(ChainTest, EveryOtherOrderIsFoundHoweverItIsNumbered, ()) {
  auto rows = chain(10);
  const auto first = *rc::gen::inRange<std::size_t>(0, 9);
  const auto second = *rc::gen::inRange<std::size_t>(first + 1, 10);
  std::swap(rows[first], rows[second]);
  if (*rc::gen::arbitrary<bool>()) std::swap(rows[first].number, rows[second].number);
  RC_ASSERT(!findings(rows).empty());
}

// Who rewrites all of it, hashes and all, is found out by the hosts that were told of what it was.
RC_GTEST_PROP(ChainTest, AHostThatWasToldOfAnEntryFindsEveryChangeUpToIt, ()) {
  const auto honest = chain(10);
  const auto changed = *rc::gen::inRange<std::size_t>(0, 10);
  const auto told = *rc::gen::inRange<std::size_t>(changed, 10);
  auto rows = honest;
  rows[changed].text.back() = ' ';
  std::string previous = changed == 0 ? first_link() : rows[changed - 1].hash;
  rows[changed].text = rows[changed].text.substr(0, rows[changed].text.size() - 1) + R"(,"vm":"other"})";
  for (std::size_t i = changed; i < rows.size(); ++i) {
    rows[i].hash = hash_of(previous, rows[i].text);
    previous = rows[i].hash;
  }
  RC_ASSERT(findings(rows, {}, head_of(rows.back())).empty());
  RC_ASSERT(!findings(rows, {{"hostb", head_of(honest[told])}}).empty());
}

RC_GTEST_PROP(ChainTest, AHostThatWasToldOfAnEntryFindsThatTheEndIsMissing, ()) {
  auto rows = chain(10);
  const auto told = rows[*rc::gen::inRange<std::size_t>(0, 10)];
  rows.resize(*rc::gen::inRange<std::size_t>(0, told.number));
  RC_ASSERT(findings(rows).empty());
  RC_ASSERT(!findings(rows, {{"hostb", head_of(told)}}).empty());
}

TEST(ChainTest, TheDaemonItselfKnowsItsLastEntry) {
  auto rows = chain(10);
  const auto written = head_of(rows.back());
  rows.pop_back();
  EXPECT_THAT(findings(rows, {}, written),
              testing::ElementsAre("entry 10 is missing at the end: this daemon has written them"));
  EXPECT_THAT(findings({}, {}, written), testing::SizeIs(1));
}

TEST(ChainTest, AFloodOfFindingsIsCounted) {
  auto rows = chain(1000);
  for (auto& row : rows) row.hash = first_link();
  const auto found = findings(rows);
  EXPECT_EQ(found.size(), 101U);
  EXPECT_EQ(found.back(), "and 900 more findings of these kinds");
}

}  // namespace
}  // namespace vmigrate::audit
