#pragma once

#include "migration/report.hpp"

namespace vmigrate::daemon {

/// A migration of `vm` from hosta to hostb that has got to this phase.
inline migration::Report report_of(const std::string& vm, migration::Phase phase,
                                   const MigrationId& id = MigrationId::random()) {
  migration::Report report;
  report.id = id;
  report.vm = *VmId::parse("123e4567-e89b-12d3-a456-426614174000");
  report.vm_name = vm;
  report.source_host = "hosta";
  report.destination_host = "hostb";
  report.phase = phase;
  report.vm_runs_on = "hosta";
  return report;
}

}  // namespace vmigrate::daemon
