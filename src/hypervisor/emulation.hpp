#pragma once

#include <vector>

#include <libvirt/libvirt.h>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "hypervisor/domain.hpp"

/// Before 9.0 QEMU can lose memory of a VM that it emulates and migrates while it runs: it collects what is
/// dirty 64 pages at a time, and there forgets to tell the emulation, which goes on writing to these pages
/// without a mark. Fixed by QEMU's commit 03bfc2188f, "physmem: Fix migration dirty bitmap coherency with TCG
/// memory access". On KVM the kernel marks them.
namespace vmigrate::hypervisor {

/// By what `query-version` returns (qapi/control.json); also where that is not understood.
bool loses_emulated_memory(const nlohmann::json& version);

/// Refuses such a VM, paused or not: it can be resumed by hand at any moment. Fails where QEMU could not be
/// asked.
Result<std::vector<Finding>> check_emulation(const DomainDescription& domain, virDomainPtr running);

}  // namespace vmigrate::hypervisor
