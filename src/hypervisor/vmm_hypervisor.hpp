#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "hypervisor/hypervisor.hpp"

namespace vmigrate::hypervisor {

class VmmServer;

struct VmmOptions {
  std::string socket;  ///< where VMMs register
  std::string books;   ///< see VmmBooks
  std::string host;    ///< this host's name in findings
  /// Why a VM that registers must not run here; nothing when it may. Not asked about VMs that are on record.
  std::function<std::optional<Error>(const VmId&)> veto = [](const VmId&) { return std::nullopt; };
  /// How long one that connects may take to say who it is.
  Milliseconds hello_patience{10'000};
};

/// VMs of programs that run KVM guests themselves and have registered (proto/vmigrate/vmm.proto). They have
/// no definitions: a VM is there as long as its process is. Which program may take in VMs is for this host's
/// administrator to say, by starting it: none is started from here.
class VmmHypervisor : public Hypervisor {
 public:
  static Result<std::unique_ptr<VmmHypervisor>> create(const VmmOptions& options);
  ~VmmHypervisor() override;

  /// Whether the VM is one of a VMM of this host.
  bool has(const VmId& vm) const;

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
  /// There is no by hand: a VMM asks this daemon whether its VM may run.
  Result<> warn_people(const VmId&, const std::string&) override { return {}; }
  Result<> resume(const VmId& vm) override;
  Result<> destroy(const VmId& vm) override;
  Result<> undefine(const VmId& vm) override;

 private:
  VmmHypervisor(std::unique_ptr<VmmServer> server, std::string host);
  std::vector<Finding> check_presence(const DomainDescription& domain) const;

  const std::shared_ptr<VmmServer> server_;
  const std::string host_;
};

}  // namespace vmigrate::hypervisor
