#pragma once

#include <memory>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "stage.hpp"

namespace vmigrate::simulation {

class Outgoing;
class Incoming;

/// A host's libvirtd, as far as the handover can see it. It outlives the daemons. It keeps to what
/// hypervisor/fake.hpp says of libvirt and QEMU, and to what happens to the one when the other dies.
class SimulatedHypervisor : public hypervisor::Hypervisor {
 public:
  SimulatedHypervisor(Stage stage, Side side) : stage_(stage), side_(side) {}

  // What happens to it.
  void vm_died();
  void libvirtd_died();

  /// The move whose stream was handed out last, for the carrier that takes it.
  std::shared_ptr<Outgoing> offered() const { return offered_.lock(); }
  std::shared_ptr<Incoming> connected() const { return connected_.lock(); }
  void offer(const std::shared_ptr<Outgoing>& move) { offered_ = move; }
  void connect(const std::shared_ptr<Incoming>& move) { connected_ = move; }

  /// A call of the daemon: fails, works, or works and says that it has failed.
  Result<> call(std::string_view name, const std::function<Result<>()>& effect);

  Result<std::vector<hypervisor::DomainSummary>> list() override;
  Result<hypervisor::DomainDescription> describe(const std::string& name_or_uuid) override;
  Result<hypervisor::DomainState> state(const VmId& vm) override;
  Result<std::vector<hypervisor::Finding>> check_outgoing(
      const hypervisor::DomainDescription& domain) override;
  Result<std::vector<hypervisor::Finding>> check_incoming(
      const hypervisor::DomainDescription& domain) override;
  Result<std::unique_ptr<hypervisor::OutgoingMove>> begin_outgoing(
      const hypervisor::DomainDescription& domain, const hypervisor::OutgoingOptions& options,
      hypervisor::OutgoingEvents events) override;
  Result<std::unique_ptr<hypervisor::IncomingMove>> begin_incoming(
      const hypervisor::IncomingOptions& options, hypervisor::IncomingEvents events) override;
  Result<> warn_people(const VmId&, const std::string&) override { return {}; }
  Result<> resume(const VmId& vm) override;
  Result<> destroy(const VmId& vm) override;
  Result<> undefine(const VmId& vm) override;

 private:
  const Stage stage_;
  const Side side_;
  std::vector<std::weak_ptr<Outgoing>> outgoing_;
  std::vector<std::weak_ptr<Incoming>> incoming_;
  std::weak_ptr<Outgoing> offered_;
  std::weak_ptr<Incoming> connected_;
};

}  // namespace vmigrate::simulation
