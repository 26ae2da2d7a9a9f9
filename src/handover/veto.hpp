#pragma once

#include <optional>

#include "base/error.hpp"
#include "handover/journal.hpp"

namespace vmigrate::handover {

/// Whether what is here of a VM was handed over to another host for good. Its definition may be left here,
/// because that was asked for; nothing but an administrator's word lets it be started again.
bool is_handed_over(const Record& latest);

/// Why a VM must not be started on this host; nothing when it may. `latest`: the journal's record of it that
/// is in force.
std::optional<Error> veto_of_start(const Record& latest);
/// The same, looked up. A journal that cannot be read is no yes.
std::optional<Error> veto_of_start(Journal& journal, const VmId& vm);

}  // namespace vmigrate::handover
