#include "hypervisor/combined_hypervisor.hpp"

namespace vmigrate::hypervisor {

Hypervisor& CombinedHypervisor::of(const VmId& vm) {
  if (vmms_.has(vm)) return vmms_;
  return libvirt_;
}

Hypervisor& CombinedHypervisor::of(const DomainDescription& domain) {
  if (!domain.vmm.empty()) return vmms_;
  return libvirt_;
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
  return of(domain).check_outgoing(domain);
}

Result<std::vector<Finding>> CombinedHypervisor::check_incoming(const DomainDescription& domain) {
  return of(domain).check_incoming(domain);
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
