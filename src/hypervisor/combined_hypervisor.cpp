#include "hypervisor/combined_hypervisor.hpp"

#include <fmt/format.h>

namespace vmigrate::hypervisor {

Hypervisor& CombinedHypervisor::of(const VmId& vm) {
  if (vmms_.has(vm)) return vmms_;
  return libvirt_;
}

Hypervisor& CombinedHypervisor::of(const DomainDescription& domain) {
  if (!domain.vmm.empty()) return vmms_;
  return libvirt_;
}

// When the VMM has ended nothing here tells any more whose its VM was; and libvirt, which never had it, may
// be down.
Hypervisor& CombinedHypervisor::for_vms_of(const std::string& vmm) {
  if (vmm.empty()) return *this;
  return vmms_;
}

Result<std::vector<DomainSummary>> CombinedHypervisor::list() {
  auto all = libvirt_.list();
  if (!all) return all;
  auto more = vmms_.list();
  if (!more) return more;
  all->insert(all->end(), more->begin(), more->end());
  return all;
}

Result<DomainDescription> CombinedHypervisor::describe(const std::string& name_or_uuid) {
  auto described = vmms_.describe(name_or_uuid);
  if (described || described.error().code != ErrorCode::not_found) return described;
  return libvirt_.describe(name_or_uuid);
}

Result<DomainState> CombinedHypervisor::state(const VmId& vm) {
  return of(vm).state(vm);
}

Result<std::vector<Finding>> CombinedHypervisor::check_outgoing(const DomainDescription& domain) {
  return with_twin(domain, of(domain).check_outgoing(domain));
}

Result<std::vector<Finding>> CombinedHypervisor::check_incoming(const DomainDescription& domain) {
  return with_twin(domain, of(domain).check_incoming(domain));
}

/// A VM is of one of the two: which of them is asked about it depends on who has it.
Result<std::vector<Finding>> CombinedHypervisor::with_twin(const DomainDescription& domain,
                                                           Result<std::vector<Finding>> findings) {
  if (!findings) return findings;
  const bool of_vmm = !domain.vmm.empty();
  const auto there = of_vmm ? libvirt_.state(domain.id) : vmms_.state(domain.id);
  if (!there) return fail(there.error());
  if (*there == DomainState::absent) return findings;
  findings->push_back(
      {ErrorCode::refused,
       fmt::format("{} knows a VM with the UUID of {}", of_vmm ? "libvirt" : "a VMM", domain.name),
       "a VM is either libvirt's or a VMM's: end, or undefine, the other one"});
  return findings;
}

Result<std::unique_ptr<OutgoingMove>> CombinedHypervisor::begin_outgoing(const DomainDescription& domain,
                                                                         const OutgoingOptions& options,
                                                                         OutgoingEvents events) {
  return of(domain).begin_outgoing(domain, options, std::move(events));
}

Result<std::unique_ptr<IncomingMove>> CombinedHypervisor::begin_incoming(const IncomingOptions& options,
                                                                         IncomingEvents events) {
  return of(options.domain).begin_incoming(options, std::move(events));
}

Result<> CombinedHypervisor::warn_people(const VmId& vm, const std::string& warning) {
  return of(vm).warn_people(vm, warning);
}

Result<> CombinedHypervisor::resume(const VmId& vm) {
  return of(vm).resume(vm);
}

Result<> CombinedHypervisor::destroy(const VmId& vm) {
  return of(vm).destroy(vm);
}

Result<> CombinedHypervisor::undefine(const VmId& vm) {
  return of(vm).undefine(vm);
}

}  // namespace vmigrate::hypervisor
