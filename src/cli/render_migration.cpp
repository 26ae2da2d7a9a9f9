#include <fmt/format.h>

#include "cli/progress.hpp"
#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

/// "  memory    text": a line of a receipt or of `show`.
std::string labelled(std::string_view label, const std::string& text) {
  return fmt::format("  {:<10}{}\n", label, text);
}

std::string pause_text(const control::Migration& migration) {
  const auto& receipt = migration.receipt();
  auto text = milliseconds(receipt.pause_ms());
  if (receipt.last_pages_ms() + receipt.load_ms() + receipt.start_ms() > 0) {
    text += fmt::format(": last pages {}, their way {}, load {}, start {}",
                        milliseconds(receipt.last_pages_ms()), milliseconds(receipt.arrival_ms()),
                        milliseconds(receipt.load_ms()), milliseconds(receipt.start_ms()));
  }
  const auto allowed = migration.progress().max_pause_ms();
  if (allowed == 0) return text;
  const auto expected = receipt.expected_pause_ms();
  return fmt::format("{} ({}{} allowed)", text,
                     expected == 0 ? "" : fmt::format("~{} expected, ", milliseconds(expected)),
                     milliseconds(allowed));
}

std::string memory_text(const control::Receipt& receipt) {
  auto text = bytes(receipt.guest_bytes());
  if (receipt.passes() > 0)
    text += fmt::format(" in {} {}", receipt.passes(), receipt.passes() == 1 ? "pass" : "passes");
  if (receipt.wire_bytes() > 0) {
    text += fmt::format(", {} on the wire", bytes(receipt.wire_bytes()));
    if (receipt.guest_bytes() > 0)
      text += fmt::format(" ({})", times(receipt.guest_bytes(), receipt.wire_bytes()));
    if (receipt.total_ms() > 0)
      text += fmt::format(", {}", rate(receipt.wire_bytes() * 1000 / receipt.total_ms()));
  }
  return text;
}

std::string announcement_text(const control::Announcement& announcement) {
  if (!announcement.problem().empty()) {
    return fmt::format("{} not announced: {}", announcement.mac(), announcement.problem());
  }
  const auto addresses = enumerated(announcement.addresses());
  return fmt::format("{} announced{}{}", announcement.mac(), addresses.empty() ? "" : " with " + addresses,
                     announcement.frames() == 0 ? "" : fmt::format(" ({} frames)", announcement.frames()));
}

std::string receipt_lines(const control::Migration& migration, const Style& style) {
  const auto& receipt = migration.receipt();
  auto text = labelled("pause", pause_text(migration)) + labelled("memory", memory_text(receipt));
  if (receipt.slowdown_percent() > 0)
    text += labelled("slowed", fmt::format("by up to {}%, to converge", receipt.slowdown_percent()));
  if (receipt.link_stalls() > 0) {
    text += labelled(
        "link",
        fmt::format("lost {} and came back, {} in all",
                    receipt.link_stalls() == 1 ? "once" : fmt::format("{} times", receipt.link_stalls()),
                    milliseconds(receipt.link_stalled_ms())));
  }
  text += labelled("checksum", receipt.memory_verified()
                                   ? toned("the memory stream was the same on both hosts", Tone::good, style)
                                   : toned("not compared", Tone::warning, style));
  for (const auto& announcement : receipt.announcements()) {
    const auto tone = announcement.problem().empty() ? Tone::plain : Tone::warning;
    text += labelled("network", toned(announcement_text(announcement), tone, style));
  }
  return text;
}

}  // namespace

std::string render_receipt(const control::Migration& migration, const Style& style) {
  auto headline = fmt::format("{} runs on {}", migration.vm(), migration.destination_host());
  if (!migration.has_receipt()) return toned(headline, Tone::good, style) + "\n";
  const auto& receipt = migration.receipt();
  if (receipt.total_ms() > 0) {
    headline += fmt::format(": moved in {}, paused for {}", milliseconds(receipt.total_ms()),
                            milliseconds(receipt.pause_ms()));
  }
  return toned(headline, Tone::good, style) + "\n" + receipt_lines(migration, style);
}

std::string render_error(const control::Error& error, const Style& style) {
  auto text = fmt::format("{} {}\n", toned("vmigrate:", Tone::bad, style), error.message());
  if (!error.vm_state().empty()) text += fmt::format("  now: {}\n", error.vm_state());
  if (!error.hint().empty()) text += fmt::format("  hint: {}\n", error.hint());
  return text;
}

std::string render_migration(const control::Migration& migration, const Style& style) {
  auto text = fmt::format("{}: {} {} {}\n", migration.vm(), migration.source_host(), arrow(style),
                          migration.destination_host());
  text += labelled("phase", toned(phase_words(migration), phase_tone(migration.phase()), style));
  text += labelled("runs on",
                   migration.vm_runs_on().empty() ? "nobody can say at the moment" : migration.vm_runs_on());
  text += labelled("id", migration.id());
  text += labelled("started",
                   fmt::format("{}{}{}", local_time(migration.started_unix_ms()),
                               migration.requested_by().empty() ? "" : " by ", migration.requested_by()));
  if (migration.ended_unix_ms() != 0) text += labelled("ended", local_time(migration.ended_unix_ms()));
  if (migration.phase() == control::MEMORY) text += labelled("progress", progress_text(migration));
  if (migration.has_receipt()) {
    text += labelled("total", milliseconds(migration.receipt().total_ms()));
    text += receipt_lines(migration, style);
  }
  if (migration.has_error()) {
    text += labelled("why", toned(migration.error().message(), phase_tone(migration.phase()), style));
    if (!migration.error().hint().empty()) text += labelled("hint", migration.error().hint());
  }
  return text;
}

}  // namespace vmigrate::cli
