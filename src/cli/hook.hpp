#pragma once

#include <string>

#include "base/error.hpp"

namespace vmigrate::cli {

/// Puts vmigrate's hook, which vetoes starts of VMs that were handed over, where libvirt looks for hooks.
/// What was done, for people.
Result<std::string> install_hook();

}  // namespace vmigrate::cli
