#include "daemon/audit_entries.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include "migration/audit_entries.hpp"

namespace vmigrate::daemon {
namespace {

using control::Request;

std::string action_of(const Request& request) {
  const auto* field = Request::descriptor()->FindFieldByNumber(static_cast<int>(request.request_case()));
  return field == nullptr ? "unknown" : field->name();
}

/// "not-converging" and the like are no ends of a request.
std::string result_of(const control::Error& error) {
  switch (static_cast<ErrorCode>(error.code())) {
    case ErrorCode::failed: return "failed";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::needs_attention: return "needs attention";
    default: return "refused";
  }
}

}  // namespace

RequestKind kind_of(const Request& request) {
  switch (request.request_case()) {
    case Request::kStart: return RequestKind::start;
    case Request::kCheck: return RequestKind::check;
    case Request::kList:
    case Request::kShow:
    case Request::kWatch:
    case Request::kHistory:
    case Request::kHosts:
    case Request::kDoctor:
    case Request::kVersion:
    case Request::kPeers:
    case Request::kAudit:
    case Request::kAuditVerify: return RequestKind::look;
    default: return RequestKind::act;
  }
}

audit::Entry entry_by(const control::Caller& caller) {
  audit::Entry entry;
  entry.user = fmt::format("{} (uid {})", caller.user, caller.uid);
  return entry;
}

audit::Entry entry_of(const Request& request, const control::Caller& caller) {
  auto entry = entry_by(caller);
  entry.action = action_of(request);
  switch (request.request_case()) {
    case Request::kStart:
      entry.vm = request.start().vm();
      entry.destination_host = request.start().host();
      break;
    case Request::kCheck:
      entry.vm = request.check().vm();
      entry.destination_host = fmt::format("{}", fmt::join(request.check().hosts(), ", "));
      break;
    case Request::kCancel: entry.vm = request.cancel().vm_or_id(); break;
    case Request::kResolve:
      entry.vm = request.resolve().vm();
      // The one that is said not to run it any more.
      entry.destination_host = request.resolve().fenced_host();
      break;
    // Not the code: it is a secret for as long as it counts.
    case Request::kPair: entry.destination_host = request.pair().host(); break;
    case Request::kRemovePeer: entry.destination_host = request.remove_peer().host(); break;
    default: break;
  }
  return entry;
}

void add_answer(audit::Entry& entry, const control::Response& response) {
  entry.result = response.has_error() ? result_of(response.error()) : "done";
  entry.reason = response.error().message();
  if (!response.has_migration()) return;
  const auto& migration = response.migration();
  entry.vm = migration.vm();
  entry.vm_id = migration.vm_id();
  entry.migration = migration.id();
  entry.source_host = migration.source_host();
  entry.destination_host = migration.destination_host();
}

audit::Keep keep(RequestKind kind, const control::Response& response) {
  // That somebody looks is of little interest, that they may not is. What was done can only be done so often.
  if (kind == RequestKind::look && !response.has_error()) return audit::Keep::first;
  if (kind == RequestKind::act && !response.has_error()) return audit::Keep::every;
  return audit::Keep::some;
}

std::optional<audit::Entry> entry_of(const migration::Report& report) {
  if (!migration::has_ended(report.phase) && report.phase != migration::Phase::needs_attention)
    return std::nullopt;
  audit::Entry entry;
  const bool leaves = report.role == handover::Role::source;
  entry.action = leaves ? "start" : "receive";
  entry.result = migration::to_string(report.phase);
  entry.user = report.requested_by;
  if (!leaves) entry.peer = report.source_host;
  entry.vm = report.vm_name;
  entry.vm_id = report.vm.text();
  entry.migration = report.id.text();
  entry.source_host = report.source_host;
  entry.destination_host = report.destination_host;
  if (report.error) entry.reason = report.error->message;
  return entry;
}

void note_report(audit::Trail& trail, const migration::Report& report) {
  auto entry = entry_of(report);
  if (!entry) return;
  // An end comes once; a doubt may come and go.
  const auto keep = migration::has_ended(report.phase) ? audit::Keep::every : audit::Keep::some;
  trail.note(std::move(*entry), keep);
}

audit::Entry entry_of(const peer::TurnedAway& turned_away) {
  return migration::from_peer("connect", "refused", turned_away.peer, turned_away.reason);
}

control::AuditHead to_proto(const audit::Head& head) {
  control::AuditHead message;
  message.set_number(head.number);
  message.set_hash(head.hash);
  return message;
}

control::AuditEntry to_proto(const audit::ShownEntry& shown) {
  const auto& entry = shown.entry;
  control::AuditEntry message;
  message.set_number(entry.number);
  message.set_time_unix_ms(static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, static_cast<std::int64_t>(entry.time.time_since_epoch().count()))));
  message.set_action(entry.action);
  message.set_result(entry.result);
  message.set_user(entry.user);
  message.set_peer(entry.peer);
  message.set_address(entry.address);
  message.set_vm(entry.vm);
  message.set_vm_id(entry.vm_id);
  message.set_migration(entry.migration);
  message.set_source_host(entry.source_host);
  message.set_destination_host(entry.destination_host);
  message.set_reason(entry.reason);
  message.set_count(entry.count);
  if (entry.head) *message.mutable_head() = to_proto(*entry.head);
  message.set_hash(shown.hash);
  return message;
}

}  // namespace vmigrate::daemon
