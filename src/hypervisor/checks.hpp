#pragma once

#include <string>
#include <vector>

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
/// `available`: what this host could give to new processes.
Findings check_memory(const DomainDescription& domain, Bytes available, const std::string& host);

/// MemAvailable of /proc/meminfo: free, or reclaimable without swapping.
Result<Bytes> available_memory();

}  // namespace vmigrate::hypervisor
