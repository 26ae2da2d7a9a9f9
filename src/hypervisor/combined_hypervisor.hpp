#pragma once

#include "hypervisor/vmm_hypervisor.hpp"

namespace vmigrate::hypervisor {

/// Libvirt's VMs and those of VMMs side by side, as the VMs of one host. Whose a VM is, is a matter of
/// whether a VMM has it; and of one that arrives, of what the offer says.
class CombinedHypervisor : public Hypervisor {
 public:
  /// Both outlive this.
  CombinedHypervisor(Hypervisor& libvirt, VmmHypervisor& vmms) : libvirt_(libvirt), vmms_(vmms) {}

  Hypervisor& for_vms_of(const std::string& vmm) override;
  Result<std::vector<DomainSummary>> list() override;
  Result<DomainDescription> describe(const std::string& name_or_uuid) override;
  Result<DomainState> state(const VmId& vm) override;
  Result<std::vector<Finding>> check_outgoing(const DomainDescription& domain) override;
  Result<std::vector<Finding>> check_incoming(const DomainDescription& domain) override;
  Result<std::unique_ptr<OutgoingMove>> begin_outgoing(const DomainDescription& domain,
                                                       const OutgoingOptions& options,
                                                       OutgoingEvents events) override;
  Result<std::unique_ptr<IncomingMove>> begin_incoming(const IncomingOptions& options,
                                                       IncomingEvents events) override;
  Result<> warn_people(const VmId& vm, const std::string& warning) override;
  Result<> resume(const VmId& vm) override;
  Result<> destroy(const VmId& vm) override;
  Result<> undefine(const VmId& vm) override;

 private:
  Hypervisor& of(const VmId& vm);
  Hypervisor& of(const DomainDescription& domain);
  Result<std::vector<Finding>> with_twin(const DomainDescription& domain,
                                         Result<std::vector<Finding>> findings);

  Hypervisor& libvirt_;
  VmmHypervisor& vmms_;
};

}  // namespace vmigrate::hypervisor
