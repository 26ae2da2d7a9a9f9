#pragma once

#include <string>
#include <vector>

#include "hypervisor/checks_memory.hpp"
#include "hypervisor/domain.hpp"
#include "hypervisor/libvirt_handles.hpp"

/// What can stand against a move, one function a question. `host` is this host's name, for the messages.
namespace vmigrate::hypervisor {

using Findings = std::vector<Finding>;

// At the source.
Findings check_it_runs(const DomainDescription& domain);
Findings check_devices_can_leave(const DomainDescription& domain);
Findings check_caches(const DomainDescription& domain);

// At the destination.
Findings check_presence(const DomainDescription& domain, virConnectPtr connection, const std::string& host);
Findings check_interfaces(const DomainDescription& domain, const std::string& host);
Findings check_disks(const DomainDescription& domain, const std::string& host);
Findings check_boot_files(const DomainDescription& domain, const std::string& host);
Findings check_emulator(const DomainDescription& domain, virConnectPtr connection, const std::string& host);
Findings check_processor(const DomainDescription& domain, virConnectPtr connection, const std::string& host);

}  // namespace vmigrate::hypervisor
