#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hypervisor/fake_script.hpp"
#include "hypervisor/fake_stream.hpp"
#include "hypervisor/fake_world.hpp"
#include "hypervisor/hypervisor.hpp"

namespace vmigrate::hypervisor {

class FakeHost;

/// A host's hypervisor for scenario tests: VMs are entries in memory, QEMU's stream is a few scripted bytes
/// on a real socket, and every step can be made to fail or to wait. It keeps to what libvirt and QEMU were
/// seen to do:
///
/// * The source asks the destination to prepare, hands the stream out, stops the VM, writes the rest, waits
/// for SHUT
///   on the return path, and only then asks for Finish. A stream that breaks ends in Finish with `cancelled`,
///   with the VM resumed before that.
/// * A move that is destroyed before `ended` behaves as when its client dies: before Finish the VM runs on,
///   afterwards it stays paused for ever.
/// * An arriving VM whose move is destroyed before Finish has succeeded is destroyed with it; afterwards it
/// stays
///   paused and belongs to nobody.
///
/// The object stands for the host's libvirtd: it outlives the daemon, and so the moves.
class FakeHypervisor : public Hypervisor {
 public:
  FakeHypervisor(std::string host, std::shared_ptr<FakeWorld> world);
  ~FakeHypervisor() override;

  // What a test arranges.
  FakeScript& script();
  /// A VM in the state that its description says.
  void add(const DomainDescription& domain);
  void set_stream(FakeStream stream);
  /// What the two checks shall find.
  void set_findings(std::vector<Finding> outgoing, std::vector<Finding> incoming);
  /// Somebody pauses it by hand (virsh suspend).
  void pause(const VmId& vm);
  /// Its QEMU dies or the guest shuts down: shut off when it is defined, absent otherwise. A move of it
  /// fails.
  void kill(const VmId& vm);
  /// The limit that set_max_pause() or begin_outgoing() gave last.
  Milliseconds max_pause() const;
  /// What set_slowdown() gave last; zero again once the move is over.
  Percent slowdown() const;
  /// From now on the VMs change all of their memory as fast as it moves: pass after pass is in vain.
  void make_busy();

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
  const std::shared_ptr<FakeHost> host_;
};

/// A running, persistent VM with one disk and one interface, for tests that do not care.
DomainDescription example_domain(const std::string& name = "web1");

}  // namespace vmigrate::hypervisor
