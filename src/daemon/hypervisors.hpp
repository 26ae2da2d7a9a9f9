#pragma once

#include <memory>
#include <string>

#include "daemon/configuration.hpp"
#include "handover/journal.hpp"
#include "hypervisor/hypervisor.hpp"

namespace vmigrate::daemon {

/// What runs VMs on this host: libvirt (unless it has none), and the VMMs that register.
class Hypervisors {
 public:
  static Result<std::unique_ptr<Hypervisors>> create(const Configuration& configuration,
                                                     handover::Journal& journal);
  virtual ~Hypervisors() = default;

  /// All of them as one.
  virtual hypervisor::Hypervisor& all() = 0;
  /// For people: "libvirt 9.0.0, QEMU 7.2.22"
  virtual Result<std::string> version() = 0;
};

}  // namespace vmigrate::daemon
