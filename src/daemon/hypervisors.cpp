#include "daemon/hypervisors.hpp"

#include "handover/veto.hpp"
#include "hypervisor/combined_hypervisor.hpp"
#include "hypervisor/event_loop.hpp"
#include "hypervisor/libvirt_hypervisor.hpp"
#include "hypervisor/vmm_hypervisor.hpp"

namespace vmigrate::daemon {
namespace {

using hypervisor::VmmHypervisor;

class VmmsAlone : public Hypervisors {
 public:
  explicit VmmsAlone(std::unique_ptr<VmmHypervisor> vmms) : vmms_(std::move(vmms)) {}
  hypervisor::Hypervisor& all() override { return *vmms_; }
  Result<std::string> version() override { return std::string("VMMs that register, no libvirt"); }

 private:
  const std::unique_ptr<VmmHypervisor> vmms_;
};

class LibvirtAndVmms : public Hypervisors {
 public:
  LibvirtAndVmms(const Configuration& configuration, std::unique_ptr<hypervisor::EventLoop> loop,
                 std::unique_ptr<VmmHypervisor> vmms)
      : loop_(std::move(loop)),
        vmms_(std::move(vmms)),
        libvirt_(*loop_, {configuration.hypervisor.rpc_socket,
                          configuration.host.name,
                          configuration.hypervisor.lossy_emulation,
                          {}}),
        both_(libvirt_, *vmms_) {}
  hypervisor::Hypervisor& all() override { return both_; }
  Result<std::string> version() override { return libvirt_.version(); }

 private:
  const std::unique_ptr<hypervisor::EventLoop> loop_;
  const std::unique_ptr<VmmHypervisor> vmms_;
  hypervisor::LibvirtHypervisor libvirt_;
  hypervisor::CombinedHypervisor both_;
};

}  // namespace

Result<std::unique_ptr<Hypervisors>> Hypervisors::create(const Configuration& configuration,
                                                         handover::Journal& journal) {
  auto vmms = VmmHypervisor::create({configuration.paths.vmm_socket, configuration.paths.runtime + "/vmms",
                                     configuration.host.name,
                                     [&journal, runtime = configuration.paths.runtime](const VmId& vm) {
                                       return handover::veto_of_start(journal, vm, runtime);
                                     }});
  if (!vmms) return fail(vmms.error());
  if (!configuration.hypervisor.libvirt) return std::make_unique<VmmsAlone>(std::move(*vmms));
  auto loop = hypervisor::EventLoop::create();
  if (!loop) return fail(loop.error());
  return std::make_unique<LibvirtAndVmms>(configuration, std::move(*loop), std::move(*vmms));
}

}  // namespace vmigrate::daemon
