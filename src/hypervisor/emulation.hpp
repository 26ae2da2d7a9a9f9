#pragma once

#include <string>
#include <vector>

#include <libvirt/libvirt.h>

#include "base/error.hpp"
#include "hypervisor/domain.hpp"

/// Before 9.0 QEMU loses memory of a VM that it emulates and migrates while it runs. What is dirty it
/// collects 64 pages at a time, where a block of memory is a multiple of them, and there it forgets to tell
/// the emulation, which goes on writing to these pages without a mark (fixed by QEMU's commit 03bfc2188f,
/// "physmem: Fix migration dirty bitmap coherency with TCG memory access"). A VM on KVM is not concerned.
namespace vmigrate::hypervisor {

/// Whether a VM that QEMU emulates keeps all of its memory, by QEMU's answers to `query-version`
/// (qapi/control.json) and `query-memory-size-summary` (qapi/machine.json). Not where they are not
/// understood.
bool keeps_emulated_memory(const std::string& version, const std::string& memory);

/// Refuses a running, emulated VM whose QEMU would lose its memory. Fails where it could not be asked.
Result<std::vector<Finding>> check_emulation(const DomainDescription& domain, virConnectPtr connection);

}  // namespace vmigrate::hypervisor
