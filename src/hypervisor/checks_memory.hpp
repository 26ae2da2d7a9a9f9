#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "hypervisor/domain.hpp"

namespace vmigrate::hypervisor {

/// `available`: what this host could give to new processes.
std::vector<Finding> check_memory(const DomainDescription& domain, Bytes available, const std::string& host);

/// MemAvailable of /proc/meminfo: free, or reclaimable without swapping.
Result<Bytes> available_memory();

}  // namespace vmigrate::hypervisor
