#pragma once

#include <string>

#include <libvirt/libvirt.h>
#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace vmigrate::hypervisor {

/// What an answer of QEMU's monitor returns: {"return":...,"id":"libvirt-7"}, or the failure that it tells:
/// {"id":"libvirt-7","error":{"class":"GenericError","desc":"..."}}.
Result<nlohmann::json> returned(const std::string& answer);

/// Asks the QEMU of a running VM in its own protocol, QMP, where libvirt has no call of its own. Waits as
/// long as QEMU does not answer. libvirt notes "custom-monitor" as a taint of the domain.
Result<nlohmann::json> ask_monitor(virDomainPtr domain, const std::string& command);

}  // namespace vmigrate::hypervisor
