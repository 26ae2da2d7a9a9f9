#pragma once

#include <string>

#include "base/error.hpp"

namespace vmigrate::hypervisor {

/// Lets this host's unprivileged QEMU make its socket in a migration's runtime directory, and nobody else do
/// anything with it: group execute and write without read, and sticky, so that a QEMU can neither list the
/// folder nor remove another's socket. The group is that of Debian's `libvirt-qemu`, or Fedora's `qemu`;
/// where there is neither, QEMU runs as root and nothing is changed.
Result<> open_to_qemu(const std::string& directory);

}  // namespace vmigrate::hypervisor
