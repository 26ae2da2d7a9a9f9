#pragma once

#include <optional>

#include "audit/durable_trail.hpp"
#include "control/handler.hpp"
#include "migration/report.hpp"
#include "peer/endpoint.hpp"

/// What the daemon notes in the audit trail, and how the API tells it. docs/audit.md lists the actions.
namespace vmigrate::daemon {

enum class RequestKind {
  look,   ///< changes nothing
  check,  ///< neither, but is about a VM
  start,  ///< the beginning of a migration
  act,    ///< everything else: also what this file has never heard of
};
RequestKind kind_of(const control::Request& request);

audit::Entry entry_by(const control::Caller& caller);
/// Names of VMs and hosts, and nothing else of what a request says: it may have secrets in it.
audit::Entry entry_of(const control::Request& request, const control::Caller& caller);
/// What became of it, from its last answer.
void add_answer(audit::Entry& entry, const control::Response& response);
audit::Keep keep(RequestKind kind, const control::Response& response);

/// The end of a migration, or that it is in doubt; nothing while it goes on.
std::optional<audit::Entry> entry_of(const migration::Report& report);
/// Notes it, if there is anything to note.
void note_report(audit::Trail& trail, const migration::Report& report);
audit::Entry entry_of(const peer::TurnedAway& turned_away);

control::AuditEntry to_proto(const audit::ShownEntry& shown);
control::AuditHead to_proto(const audit::Head& head);

}  // namespace vmigrate::daemon
