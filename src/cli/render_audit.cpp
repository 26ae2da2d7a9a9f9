#include <fmt/format.h>

#include "cli/render.hpp"
#include "cli/table.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

/// "hostb (10.0.0.2:51234)", "alice (uid 1000)".
std::string who(const control::AuditEntry& entry) {
  if (!entry.user().empty()) return entry.user();
  if (entry.address().empty()) return entry.peer();
  return entry.peer().empty() ? entry.address() : fmt::format("{} ({})", entry.peer(), entry.address());
}

std::string where(const control::AuditEntry& entry, const Style& style) {
  if (entry.source_host().empty() && entry.destination_host().empty()) return "";
  return fmt::format("{} {} {}", dash(entry.source_host()), arrow(style), dash(entry.destination_host()));
}

std::string what_else(const control::AuditEntry& entry) {
  std::string text = entry.reason();
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : "; ") + more; };
  if (entry.has_head())
    add(fmt::format("entry {} is {}", entry.head().number(), entry.head().hash().substr(0, 16)));
  if (entry.count() > 0) add(fmt::format("{} more, this is the last", entry.count()));
  return text;
}

Tone tone_of(const std::string& result) {
  if (result == "completed" || result == "done") return Tone::good;
  if (result == "refused" || result == "failed" || result == "lost") return Tone::bad;
  if (result == "needs attention" || result == "cancelled") return Tone::warning;
  return Tone::plain;
}

std::string finding_of(const control::AuditWitness& witness) {
  if (!witness.problem().empty()) return "could not be asked: " + witness.problem();
  return witness.heads() == 0 ? "has noted nothing of this trail yet"
                              : fmt::format("has noted {} of its entries", witness.heads());
}

}  // namespace

std::string render_audit(const control::AuditList& list, const Style& style) {
  if (list.entries().empty()) return "there is no such entry\n";
  std::vector<std::vector<Cell>> rows;
  for (const auto& entry : list.entries()) {
    rows.push_back({std::to_string(entry.number()),
                    dash(local_time(entry.time_unix_ms())),
                    dash(who(entry)),
                    entry.action(),
                    {dash(entry.result()), tone_of(entry.result())},
                    dash(entry.vm()),
                    dash(where(entry, style)),
                    dash(entry.migration().substr(0, 8)),
                    dash(what_else(entry))});
  }
  return render_table({"NUMBER", "TIME", "WHO", "WHAT", "RESULT", "VM", "WHERE", "ID", "WHY"}, rows, style);
}

std::string render_audit_report(const control::AuditReport& report, const Style& style) {
  std::string text;
  for (const auto& finding : report.findings())
    text += toned("bad", Tone::bad, style) + "  " + finding + "\n";
  for (const auto& witness : report.witnesses())
    text += fmt::format("host {}: {}\n", witness.host(), finding_of(witness));
  text += report.findings().empty()
              ? toned(fmt::format("{} entries are as they were written", report.entries()), Tone::good, style)
              : fmt::format("{} entries were looked at", report.entries());
  text += fmt::format("; {} agree with what other hosts have noted", report.agreeing());
  if (report.too_old() > 0)
    text += fmt::format(", {} noted ones were removed here for their age", report.too_old());
  text += "\n";
  if (report.has_head())
    text += fmt::format("the last one is {}: {}\n", report.head().number(), report.head().hash());
  return text;
}

}  // namespace vmigrate::cli
