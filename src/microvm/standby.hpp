#pragma once

#include "microvm/agent.hpp"

namespace vmigrate::microvm {

/// Sees to it that there always is a process that waits for a VM to arrive: each that gets one goes on by
/// itself, and the next is started. Returns only if one cannot wait, with its exit code. To be called while
/// the process has one thread.
int stand_by(const AgentSettings& settings);

}  // namespace vmigrate::microvm
