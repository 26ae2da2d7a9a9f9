#pragma once

#include <libvirt/libvirt.h>

#include "base/error.hpp"
#include "base/units.hpp"

/// QEMU's own throttle of vCPUs, which it has for migrations that do not converge ("auto-converge"), steered
/// from outside. See docs/adr/0006.
namespace vmigrate::hypervisor {

/// Before a migration with auto-converge begins: whatever QEMU makes of it, its throttle stays at the least
/// that there is, 1%.
Result<> hold_throttle_back(virDomainPtr domain);
/// During one: throttles to just this share, 1% to 99%, from the next synchronisation of dirty pages or the
/// one after.
Result<> throttle(virDomainPtr domain, Percent slowdown);
/// After one that has failed: as QEMU begins.
Result<> reset_throttle(virDomainPtr domain);

}  // namespace vmigrate::hypervisor
