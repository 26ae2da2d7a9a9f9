#pragma once

#include <memory>
#include <string>

#include "handover/journal.hpp"

namespace vmigrate::daemon {

/// Makes the daemon kill or stop itself at one of its promises, for tests of what then happens:
/// VMIGRATE_FAILPOINT=ACTION:WHEN:STATE with ACTION kill or stop (SIGKILL, SIGSTOP), WHEN before or after,
/// STATE as the journal names it, as in "kill:after:relinquished". An empty `failpoint` leaves the journal as
/// it is.
Result<std::unique_ptr<handover::Journal>> with_failpoint(std::unique_ptr<handover::Journal> journal,
                                                          const std::string& failpoint);

}  // namespace vmigrate::daemon
