#pragma once

#include <optional>

#include "base/error.hpp"
#include "handover/journal.hpp"

namespace vmigrate::handover {

/// Whether what is here of a VM was handed over to another host for good. Its definition may be left here,
/// because that was asked for; nothing but an administrator's word lets it be started again.
bool is_handed_over(const Record& latest);

/// The record that says whose the VM is: the newest, without what was to come here and has not, since that
/// has changed nothing. What this host lost power over does not come any more, whatever the journal says
/// until migrated is up again; but then its folder is gone from `runtime_folder`.
Result<std::optional<Record>> record_in_force(Journal& journal, const VmId& vm,
                                              const std::string& runtime_folder);

/// Why a VM must not be started on this host; nothing when it may. `latest`: the record of it that is in
/// force.
std::optional<Error> veto_of_start(const Record& latest);
/// The same, of what record_in_force() finds. A journal that cannot be read is no yes.
std::optional<Error> veto_of_start(Journal& journal, const VmId& vm, const std::string& runtime_folder);

}  // namespace vmigrate::handover
