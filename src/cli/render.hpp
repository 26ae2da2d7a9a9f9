#pragma once

#include <string>

#include "cli/style.hpp"
#include "vmigrate/control.pb.h"

/// Results as people read them. Pure: messages in, whole lines out.
namespace vmigrate::cli {

/// What a completed migration cost, in a few lines.
std::string render_receipt(const control::Migration& migration, const Style& style);
/// What, where and why; where the VM runs now; what to do.
std::string render_error(const control::Error& error, const Style& style);
/// Everything about one migration.
std::string render_migration(const control::Migration& migration, const Style& style);

std::string render_vms(const control::VmList& list, const Style& style);
std::string render_history(const control::MigrationList& list, const Style& style);
std::string render_hosts(const control::HostList& list, const Style& style);
std::string render_paired(const control::Pairing& pairing, const Style& style);
std::string render_peers(const control::PeerList& list, const Style& style);
std::string render_check(const control::CheckReport& report, const Style& style);
std::string render_doctor(const control::DoctorReport& report, const Style& style);
std::string render_audit(const control::AuditList& list, const Style& style);
std::string render_audit_report(const control::AuditReport& report, const Style& style);

}  // namespace vmigrate::cli
