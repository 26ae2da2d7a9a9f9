#include <fmt/format.h>

#include "cli/render.hpp"
#include "cli/table.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {
namespace {

/// The eight digits that people use; see base/identifiers.hpp.
std::string short_id(const std::string& id) {
  return id.substr(0, 8);
}

Tone vm_tone(const control::Vm& vm) {
  if (vm.state() == "needs attention") return Tone::bad;
  return vm.state() == "running" ? Tone::good : Tone::plain;
}

std::string migration_summary(const control::Migration& migration, const Style& style) {
  return migration.role() == control::DESTINATION
             ? fmt::format("from {}: {}", migration.source_host(), phase_words(migration))
             : fmt::format("{} {}: {}", arrow(style), migration.destination_host(), phase_words(migration));
}

/// An error's words under a host or a subject, its hint below.
std::string finding_lines(const std::string& what, const std::string& hint, std::size_t indent) {
  std::string text = fmt::format("{:{}}{}\n", "", indent, what);
  if (!hint.empty()) text += fmt::format("{:{}}hint: {}\n", "", indent + 2, hint);
  return text;
}

std::string possible_text(const control::HostCheck& host) {
  std::string text = "possible";
  if (host.forecast_total_ms() > 0)
    text += fmt::format(", takes about {}", milliseconds(host.forecast_total_ms()));
  if (host.forecast_pause_ms() > 0)
    text += fmt::format(", pause about {}", milliseconds(host.forecast_pause_ms()));
  if (host.memory_total() > 0) text += fmt::format(" ({} of memory)", bytes(host.memory_total()));
  return text;
}

std::pair<std::string_view, Tone> verdict_words(control::DoctorItem::Verdict verdict) {
  switch (verdict) {
    case control::DoctorItem::GOOD: return {"good", Tone::good};
    case control::DoctorItem::WARNING: return {"warning", Tone::warning};
    default: return {"bad", Tone::bad};
  }
}

}  // namespace

std::string render_vms(const control::VmList& list, const Style& style) {
  if (list.vms().empty()) return "there are no VMs on this host\n";
  std::vector<std::vector<Cell>> rows;
  for (const auto& vm : list.vms()) {
    rows.push_back({vm.name(),
                    {vm.state(), vm_tone(vm)},
                    vm.has_migration() ? migration_summary(vm.migration(), style) : "-"});
  }
  return render_table({"NAME", "STATE", "MIGRATION"}, rows, style);
}

std::string render_history(const control::MigrationList& list, const Style& style) {
  if (list.migrations().empty()) return "there were no migrations yet\n";
  std::vector<std::vector<Cell>> rows;
  for (const auto& migration : list.migrations()) {
    const bool completed = migration.has_receipt();
    rows.push_back({dash(local_time(migration.started_unix_ms())),
                    migration.vm(),
                    migration.source_host(),
                    migration.destination_host(),
                    {phase_words(migration), phase_tone(migration.phase())},
                    completed ? milliseconds(migration.receipt().total_ms()) : "-",
                    completed ? milliseconds(migration.receipt().pause_ms()) : "-",
                    short_id(migration.id()),
                    dash(migration.requested_by())});
  }
  return render_table({"STARTED", "VM", "FROM", "TO", "RESULT", "TOTAL", "PAUSE", "ID", "BY"}, rows, style);
}

std::string render_hosts(const control::HostList& list, const Style& style) {
  if (list.hosts().empty()) return "no other host is known; vmigrate pair HOST makes one known\n";
  std::vector<std::vector<Cell>> rows;
  for (const auto& host : list.hosts()) {
    rows.push_back(
        {host.name(), host.address(),
         host.reachable() ? Cell("reachable", Tone::good) : Cell("unreachable", Tone::bad),
         dash(host.version()),
         host.reachable() ? fmt::format("{:.1f} ms", static_cast<double>(host.round_trip_us()) / 1000) : "-",
         dash(host.problem())});
  }
  return render_table({"NAME", "ADDRESS", "STATE", "VERSION", "ANSWERED IN", "PROBLEM"}, rows, style);
}

std::string render_paired(const control::Pairing& pairing, const Style& style) {
  const auto& peer = pairing.peer();
  return fmt::format(
      "{}\n  address  {}\n  key      {}\n",
      toned(fmt::format("{} and {} trust each other", pairing.this_host(), peer.name()), Tone::good, style),
      peer.address(), peer.key());
}

std::string render_peers(const control::PeerList& list, const Style& style) {
  if (list.peers().empty()) return "no other host is known; vmigrate pair HOST makes one known\n";
  constexpr std::size_t digits = 16;  // enough to tell keys apart by eye
  std::vector<std::vector<Cell>> rows;
  for (const auto& peer : list.peers()) {
    const auto trust = peer.paired()      ? Cell("paired", Tone::good)
                       : peer.certified() ? Cell("certificate", Tone::good)
                                          : Cell("not paired", Tone::warning);
    rows.push_back({peer.name(), peer.address(), trust, dash(peer.key().substr(0, digits)),
                    dash(local_time(peer.paired_unix_ms())), dash(peer.paired_by())});
  }
  return render_table({"NAME", "ADDRESS", "TRUST", "KEY", "SINCE", "BY"}, rows, style);
}

std::string render_check(const control::CheckReport& report, const Style& style) {
  std::string text;
  for (const auto& host : report.hosts()) {
    const auto title = fmt::format("{} {} {}", report.vm(), arrow(style), host.host());
    if (host.possible()) {
      text += fmt::format("{}: {}\n", title, toned(possible_text(host), Tone::good, style));
      continue;
    }
    text += fmt::format("{}: {}\n", title, toned("not possible", Tone::bad, style));
    for (const auto& finding : host.findings()) text += finding_lines(finding.message(), finding.hint(), 2);
  }
  return text;
}

std::string render_doctor(const control::DoctorReport& report, const Style& style) {
  std::string text;
  for (const auto& item : report.items()) {
    const auto [word, tone] = verdict_words(item.verdict());
    text += fmt::format("{}{:{}}  {}: {}\n", toned(word, tone, style), "", 7 - word.size(), item.subject(),
                        item.finding());
    if (item.verdict() != control::DoctorItem::GOOD && !item.hint().empty()) {
      text += fmt::format("{:9}hint: {}\n", "", item.hint());
    }
  }
  return text;
}

}  // namespace vmigrate::cli
