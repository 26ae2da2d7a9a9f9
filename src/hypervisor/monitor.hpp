#pragma once

#include <string>

#include <libvirt/libvirt.h>

#include "base/error.hpp"

namespace vmigrate::hypervisor {

/// Asks the QEMU of a running VM by its own protocol, where libvirt has no call of its own: a command of QMP
/// as JSON, answered by {"return":...,"id":"libvirt-7"} or {"id":"libvirt-7","error":{"class":"GenericError",
/// "desc":"..."}}. An error answer is not told from another here. libvirt notes in its log that somebody did
/// this.
Result<std::string> ask_monitor(virDomainPtr domain, const std::string& command);

}  // namespace vmigrate::hypervisor
