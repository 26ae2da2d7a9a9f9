#include "cli/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "migrations.hpp"

namespace vmigrate::cli {
namespace {

using testing::ElementsAre;

const Style kWide{.width = 120};

Bar bar_at(double fraction) {
  return {.pass = 2, .whole = 100, .fraction = fraction};
}

TEST(ProgressLines, SayPhaseRatesAndForecast) {
  EXPECT_THAT(
      progress_lines(moving_memory(), bar_at(0.8), kWide),
      ElementsAre(
          "web1 → hostb   memory, pass 2   412 MB/s guest (118 MB/s on the wire, 3.5x)   dirty 31.0 MB/s",
          "████████████████████░░░░░  converging: ~1.4 s left, pause ~18 ms of 300 ms allowed"));
}

TEST(ProgressLines, LeaveOutWhatIsNotKnown) {
  auto migration = migration_in(control::MEMORY);
  migration.mutable_progress()->set_converging(true);
  EXPECT_THAT(progress_lines(migration, {}, kWide),
              ElementsAre("web1 → hostb   memory", "░░░░░░░░░░░░░░░░░░░░░░░░░  measuring"));
  migration.mutable_progress()->set_guest_rate(5'000'000);
  migration.mutable_progress()->set_max_pause_ms(300);
  EXPECT_THAT(progress_lines(migration, {}, kWide),
              ElementsAre("web1 → hostb   memory   5.0 MB/s guest",
                          "░░░░░░░░░░░░░░░░░░░░░░░░░  measuring, 300 ms of pause allowed"));
}

TEST(ProgressLines, SayThatItDoesNotConverge) {
  auto migration = moving_memory();
  migration.mutable_progress()->set_converging(false);
  migration.mutable_progress()->set_forecast_pause_ms(5000);
  EXPECT_EQ(progress_lines(migration, bar_at(0.2), kWide).at(1),
            "█████░░░░░░░░░░░░░░░░░░░░  not converging: the guest dirties memory faster than it moves, pause "
            "~5.0 s of "
            "300 ms allowed");
}

TEST(ProgressLines, SayHowFarTheGuestIsSlowedAndWhy) {
  auto migration = moving_memory();
  migration.mutable_progress()->set_slowdown_percent(20);
  EXPECT_THAT(
      progress_text(migration),
      testing::HasSubstr("converging: ~1.4 s left, guest slowed by 20%, as it dirties memory too fast"));
  migration.mutable_progress()->set_converging(false);
  EXPECT_THAT(
      progress_text(migration),
      testing::HasSubstr("the guest dirties memory faster than it moves, guest slowed by 20%, pause"));
}

TEST(ProgressLines, SayThatTheLinkIsLostForHowLongAndWhy) {
  auto migration = moving_memory();
  auto& outage = *migration.mutable_progress()->mutable_link_outage();
  outage.set_so_far_ms(12'400);
  outage.set_window_ms(60'000);
  outage.set_why("not a word for 4 s");
  EXPECT_EQ(progress_text(migration), "link lost, trying again (12 s of 60 s): not a word for 4 s");
  EXPECT_THAT(progress_lines(migration, bar_at(0.2), kWide).at(1),
              testing::HasSubstr("link lost, trying again (12 s of 60 s)"));
  // Not what moved how fast before.
  EXPECT_THAT(progress_lines(migration, bar_at(0.2), kWide).at(0), testing::Not(testing::HasSubstr("MB/s")));
  migration.set_phase(control::SWITCHOVER);
  EXPECT_THAT(progress_text(migration), testing::HasSubstr("link lost"));
}

TEST(ProgressLines, HaveWordsForEveryPhase) {
  EXPECT_THAT(progress_lines(migration_in(control::CHECK), {}, kWide),
              ElementsAre("web1 → hostb   check", "asking whether web1 can run on hostb"));
  EXPECT_THAT(progress_lines(migration_in(control::PREPARE), {}, kWide),
              ElementsAre("web1 → hostb   prepare", "hostb makes room for web1"));
  EXPECT_THAT(progress_lines(migration_in(control::SWITCHOVER), {}, kWide),
              ElementsAre("web1 → hostb   switchover", "web1 stands still while hostb takes it over"));
  EXPECT_THAT(progress_lines(migration_in(control::CLEAN_UP), {}, kWide),
              ElementsAre("web1 → hostb   clean-up", "web1 runs on hosta; clearing up"));
  EXPECT_THAT(progress_lines(failed(control::NEEDS_ATTENTION, 9), {}, kWide),
              ElementsAre("web1 → hostb   needs attention",
                          "web1 cannot be moved to hostb: the link broke; trying on"));
}

TEST(ProgressLines, FitIntoNarrowTerminals) {
  Style style{.width = 40};
  EXPECT_THAT(progress_lines(moving_memory(), bar_at(0.8), style),
              ElementsAre("web1 → hostb   memory, pass 2", "████████████████████░░░░░  converging: …"));
  for (style.width = 0; style.width < 130; ++style.width) {
    for (const auto& line : progress_lines(moving_memory(), bar_at(0.8), style)) {
      EXPECT_LE(display_width(line), style.width);
    }
  }
}

TEST(ProgressLines, DoWithoutUnicode) {
  EXPECT_THAT(
      progress_lines(moving_memory(), bar_at(0.8), {.unicode = false, .width = 50}),
      ElementsAre("web1 -> hostb   memory, pass 2", "####################-----  converging: ~1.4 s lef~"));
}

TEST(ProgressLine, IsTheSameForLogs) {
  EXPECT_EQ(progress_line(moving_memory(), {}),
            "web1 → hostb: memory, pass 2: 412 MB/s guest (118 MB/s on the wire, 3.5x), dirty 31.0 MB/s, "
            "converging: "
            "~1.4 s left, pause ~18 ms of 300 ms allowed");
  EXPECT_EQ(progress_line(migration_in(control::SWITCHOVER), {}),
            "web1 → hostb: switchover: web1 stands still while hostb takes it over");
}

control::Migration in_pass(std::uint32_t pass, std::uint64_t remaining) {
  auto migration = migration_in(control::MEMORY);
  migration.mutable_progress()->set_memory_pass(pass);
  migration.mutable_progress()->set_memory_total(1000);
  migration.mutable_progress()->set_memory_remaining(remaining);
  return migration;
}

TEST(ProgressBar, FillsInTheFirstPassWithAllMemory) {
  auto bar = advanced({}, in_pass(1, 1000));
  EXPECT_DOUBLE_EQ(bar.fraction, 0);
  bar = advanced(bar, in_pass(1, 250));
  EXPECT_DOUBLE_EQ(bar.fraction, 0.75);
}

TEST(ProgressBar, StartsAgainInALaterPassWithWhatWasDirty) {
  auto bar = advanced({}, in_pass(1, 10));
  bar = advanced(bar, in_pass(2, 200));
  EXPECT_DOUBLE_EQ(bar.fraction, 0);
  bar = advanced(bar, in_pass(2, 50));
  EXPECT_DOUBLE_EQ(bar.fraction, 0.75);
}

RC_GTEST_PROP(ProgressBar, NeverRunsBackwardsWithinAPassNorLeavesItsRange,
              (const std::vector<std::pair<std::uint8_t, std::uint16_t>>& reports)) {
  Bar bar;
  for (const auto& [pass, remaining] : reports) {
    const auto before = bar;
    bar = advanced(bar, in_pass(pass % 3, remaining));
    if (bar.pass == before.pass) RC_ASSERT(bar.fraction >= before.fraction);
    RC_ASSERT(bar.fraction >= 0);
    RC_ASSERT(bar.fraction <= 1);
  }
}

}  // namespace
}  // namespace vmigrate::cli
