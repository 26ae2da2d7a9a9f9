// What was seen of real moves (tools/bench keeps it with each run), judged anew: a change of the rules must
// not give up a move that went well, nor go on with one that could not.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include "pacing/convergence.hpp"
#include "pacing/switchover.hpp"

namespace vmigrate::pacing {
namespace {

/// A file begins with a word, "moved" or "hopeless", and the allowed pause in milliseconds. Then comes a line
/// for each look: milliseconds since the start, pass, bytes left, bytes of memory moved a second, bytes on
/// the wire a second, bytes that the guest changed a second. The last line of one that moved is "paused" and
/// for how many milliseconds. Guests were emulated.
struct Trace {
  struct Look {
    std::int64_t elapsed = 0;
    std::uint32_t pass = 0;
    std::uint64_t remaining = 0;
    std::uint64_t moved = 0;
    std::uint64_t wire = 0;
    std::uint64_t dirty = 0;
  };

  explicit Trace(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::int64_t allowed = 0;
    in >> outcome >> allowed;
    terms = {Milliseconds(allowed), false, {}};
    std::string line;
    while (std::getline(in, line)) {
      std::istringstream words(line);
      Look look;
      if (words >> look.elapsed >> look.pass >> look.remaining >> look.moved >> look.wire >> look.dirty)
        looks.push_back(look);
      else if (line.starts_with("paused "))
        pause = Milliseconds(std::stoll(line.substr(7)));
    }
  }

  std::string outcome;
  SwitchoverTerms terms;
  std::vector<Look> looks;
  Milliseconds pause{};
};

class Traces : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Traces, AreJudgedAsTheyEnded) {
  Trace trace(GetParam());
  ASSERT_GT(trace.looks.size(), 10U);
  // One that was given up was so at the look that came next, within a second.
  trace.looks.push_back(trace.looks.back());
  trace.looks.back().elapsed += 1000;
  Convergence convergence;
  std::optional<std::int64_t> hopeless_at;
  for (const auto& look : trace.looks) {
    const auto limit = downtime_limit(look.pass, trace.terms);
    const auto verdict = convergence.judge(look.pass, {look.remaining}, is_largest_limit(limit, trace.terms),
                                           MonotonicTime(Milliseconds(look.elapsed)));
    if (verdict.hopeless && !hopeless_at) hopeless_at = look.elapsed;
  }
  EXPECT_EQ(hopeless_at.has_value(), trace.outcome == "hopeless");
}

TEST_P(Traces, HaveThePauseThatWasToBeExpected) {
  const Trace trace(GetParam());
  if (trace.outcome != "moved") return;
  const auto& last = trace.looks.back();
  const auto limit = downtime_limit(last.pass, trace.terms);
  const auto expected = pause_to_expect({last.remaining}, {last.moved}, 1, limit, trace.terms);
  ASSERT_TRUE(expected);
  EXPECT_LE(trace.pause, trace.terms.max_pause);
  EXPECT_LE(trace.pause, *expected * 2);
  EXPECT_GE(trace.pause, *expected / 4);
}

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(TRACES)) found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Recorded, Traces, testing::ValuesIn(files()), [](const auto& file) {
  auto name = file.param.stem().string();
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace vmigrate::pacing
