#include <fmt/format.h>

#include "hypervisor/checks.hpp"
#include "hypervisor/domain_xml.hpp"

namespace vmigrate::hypervisor {

Findings check_it_runs(const DomainDescription& domain) {
  if (domain.state == DomainState::running || domain.state == DomainState::paused) return {};
  return {{ErrorCode::refused, fmt::format("{} does not run: it is {}", domain.name, to_string(domain.state)),
           "only a running VM is moved; copy the definition of one that is shut off"}};
}

Findings check_devices_can_leave(const DomainDescription& domain) {
  Findings findings;
  for (const std::string& device : devices_bound_to_host(domain.migratable_xml)) {
    findings.push_back({ErrorCode::refused,
                        fmt::format("{} has {}, which cannot leave its host", domain.name, device),
                        "detach it before the move"});
  }
  return findings;
}

Findings check_caches(const DomainDescription& domain) {
  Findings findings;
  for (const Disk& disk : domain.disks) {
    if (disk.path.empty() || disk.network || disk.read_only || disk.coherent_cache) continue;
    findings.push_back(
        {ErrorCode::refused,
         fmt::format("the disk {} of {} goes through this host's page cache: the destination could read what "
                     "is older "
                     "than what the guest wrote",
                     disk.target, domain.name),
         fmt::format("set cache='none' (or 'directsync') for {} and restart the VM once", disk.target)});
  }
  return findings;
}

}  // namespace vmigrate::hypervisor
