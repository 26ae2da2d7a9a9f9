#pragma once

namespace vmigrate::daemon {

/// This process has a private key in its memory, and pieces of the memory of VMs: from now on no core file is
/// written of it, and nobody but root can look into it.
void keep_memory_to_itself();

}  // namespace vmigrate::daemon
