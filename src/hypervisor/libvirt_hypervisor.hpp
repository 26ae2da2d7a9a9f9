#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hypervisor/event_loop.hpp"
#include "hypervisor/hypervisor.hpp"

namespace vmigrate::hypervisor {

class LibvirtLink;
class StorageTokens;

struct LibvirtOptions {
  /// Of libvirtd, or of virtqemud. Empty: whichever is there under /run/libvirt.
  std::string socket;
  /// This host's name in findings. Empty: the system's.
  std::string host;
  /// Emulated VMs are moved while they run, although QEMU may lose memory of theirs: see emulation.hpp.
  bool lossy_emulation = false;
  /// Called on libvirt's event thread when libvirtd goes away: VMs may have changed in the meantime, and
  /// moves under way have failed. The next call connects again. Must not block or call back. May be empty.
  std::function<void()> connection_lost;
};

/// VMs of this host's libvirt (qemu:///system). Opens its connection with the first call, so that it can be
/// made before libvirtd runs. It has to be gone before `loop` is.
class LibvirtHypervisor : public Hypervisor {
 public:
  LibvirtHypervisor(EventLoop& loop, LibvirtOptions options);
  ~LibvirtHypervisor() override;

  /// "libvirt 9.0.0, QEMU 7.2.22"
  Result<std::string> version();

  Result<std::vector<DomainSummary>> list() override;
  Result<DomainDescription> describe(const std::string& name_or_uuid) override;
  Result<DomainState> state(const VmId& vm) override;
  /// Leaves tokens beside the VM's image files (see storage_proof.hpp), until begin_outgoing() or for a
  /// minute.
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
  const std::string host_;
  const bool lossy_emulation_;
  const std::shared_ptr<LibvirtLink> link_;
  const std::shared_ptr<StorageTokens> tokens_;
};

}  // namespace vmigrate::hypervisor
