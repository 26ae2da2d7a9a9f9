#include "cli/progress.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

constexpr std::size_t kBarWidth = 25;

std::string title(const control::Migration& migration, const Style& style) {
  return fmt::format("{} {} {}", migration.vm(), arrow(style), migration.destination_host());
}

/// What moves how fast; empty while nothing is known.
std::vector<std::string> rates(const control::Progress& progress) {
  std::vector<std::string> parts;
  if (progress.guest_rate() > 0 && progress.wire_rate() > 0) {
    parts.push_back(fmt::format("{} guest ({} on the wire, {})", rate(progress.guest_rate()),
                                rate(progress.wire_rate()),
                                times(progress.guest_rate(), progress.wire_rate())));
  } else if (progress.guest_rate() > 0) {
    parts.push_back(fmt::format("{} guest", rate(progress.guest_rate())));
  }
  if (progress.dirty_rate() > 0) parts.push_back(fmt::format("dirty {}", rate(progress.dirty_rate())));
  return parts;
}

std::string pause_forecast(const control::Progress& progress) {
  if (progress.forecast_pause_ms() == 0) {
    return progress.max_pause_ms() == 0
               ? ""
               : fmt::format("{} of pause allowed", milliseconds(progress.max_pause_ms()));
  }
  const auto pause = fmt::format("pause ~{}", milliseconds(progress.forecast_pause_ms()));
  return progress.max_pause_ms() == 0
             ? pause
             : fmt::format("{} of {} allowed", pause, milliseconds(progress.max_pause_ms()));
}

std::string slowdown(const control::Progress& progress) {
  return progress.slowdown_percent() == 0 ? ""
                                          : fmt::format(", guest slowed by {}%", progress.slowdown_percent());
}

std::string memory_forecast(const control::Progress& progress) {
  const auto pause = pause_forecast(progress);
  const auto with_pause = [&](const std::string& text) { return pause.empty() ? text : text + ", " + pause; };
  const auto slowed = slowdown(progress);
  if (!progress.converging())
    return with_pause("not converging: the guest dirties memory faster than it moves" + slowed);
  const auto because = slowed.empty() ? "" : slowed + ", as it dirties memory too fast";
  if (progress.forecast_left_ms() == 0) return with_pause("measuring" + because);
  return with_pause(
      fmt::format("converging: ~{} left{}", milliseconds(progress.forecast_left_ms()), because));
}

/// "link lost, trying again (12 s of 60 s): not a word for 4 s"
std::string outage_words(const control::LinkOutage& outage) {
  constexpr std::uint32_t second = 1000;
  const auto words = fmt::format("link lost, trying again ({} s of {} s)", outage.so_far_ms() / second,
                                 (outage.window_ms() + second - 1) / second);
  return outage.why().empty() ? words : words + ": " + outage.why();
}

/// What happens now, in words.
std::string activity(const control::Migration& migration) {
  if (migration.progress().has_link_outage() && !has_ended(migration.phase()))
    return outage_words(migration.progress().link_outage());
  const auto& vm = migration.vm();
  const auto& destination = migration.destination_host();
  switch (migration.phase()) {
    case control::CHECK: return fmt::format("asking whether {} can run on {}", vm, destination);
    case control::PREPARE: return fmt::format("{} makes room for {}", destination, vm);
    case control::MEMORY: return memory_forecast(migration.progress());
    case control::SWITCHOVER: return fmt::format("{} stands still while {} takes it over", vm, destination);
    case control::CLEAN_UP:
      return migration.vm_runs_on().empty()
                 ? "clearing up"
                 : fmt::format("{} runs on {}; clearing up", vm, migration.vm_runs_on());
    case control::NEEDS_ATTENTION: return fmt::format("{}; trying on", migration.error().message());
    default:
      return migration.vm_runs_on().empty() ? "" : fmt::format("{} runs on {}", vm, migration.vm_runs_on());
  }
}

std::string drawn(const Bar& bar, const Style& style) {
  const auto filled = static_cast<std::size_t>(std::floor(bar.fraction * static_cast<double>(kBarWidth)));
  std::string text;
  for (std::size_t i = 0; i < kBarWidth; ++i) {
    if (style.unicode)
      text += i < filled ? "█" : "░";
    else
      text += i < filled ? '#' : '-';
  }
  return text;
}

/// As many of the parts, from the first on, as fit; the first is cut if it has to be.
std::string joined(const std::vector<std::string>& parts, const Style& style) {
  std::string line = fitted(parts.front(), style.width, style);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (display_width(line) + 3 + display_width(parts[i]) > style.width) break;
    line += "   " + parts[i];
  }
  return line;
}

}  // namespace

Bar advanced(Bar bar, const control::Migration& migration) {
  const auto& progress = migration.progress();
  if (migration.phase() != control::MEMORY) return {};
  if (progress.memory_pass() != bar.pass) {
    // The first pass has all memory to go through; a later one what was dirty when it began.
    bar = {progress.memory_pass(), progress.memory_pass() <= 1 ? progress.memory_total() : 0, 0};
  }
  bar.whole = std::max(bar.whole, progress.memory_remaining());
  if (bar.whole == 0) return bar;
  const double left = static_cast<double>(progress.memory_remaining()) / static_cast<double>(bar.whole);
  bar.fraction = std::max(bar.fraction, 1 - left);
  return bar;
}

std::vector<std::string> progress_lines(const control::Migration& migration, const Bar& bar,
                                        const Style& style) {
  std::vector<std::string> first{title(migration, style), phase_words(migration)};
  std::string second = activity(migration);
  if (migration.phase() == control::MEMORY) {
    if (!migration.progress().has_link_outage())
      for (auto& part : rates(migration.progress())) first.push_back(std::move(part));
    second = drawn(bar, style) + "  " + second;
  }
  return {joined(first, style), fitted(second, style.width, style)};
}

std::string progress_text(const control::Migration& migration) {
  std::vector<std::string> parts;
  if (migration.phase() == control::MEMORY && !migration.progress().has_link_outage())
    parts = rates(migration.progress());
  if (auto now = activity(migration); !now.empty()) parts.push_back(std::move(now));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string progress_line(const control::Migration& migration, const Style& style) {
  return fmt::format("{}: {}: {}", title(migration, style), phase_words(migration), progress_text(migration));
}

}  // namespace vmigrate::cli
