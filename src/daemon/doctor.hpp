#pragma once

#include <functional>
#include <optional>
#include <string>

#include "daemon/configuration.hpp"
#include "migration/manager.hpp"
#include "trust/paired_peers.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::daemon {

/// Looks at everything that a migration from or to this host would need.
class Doctor {
 public:
  /// `hypervisor_version` asks the hypervisor; its error is a finding. So is what `audit_trouble` says.
  Doctor(const Configuration& configuration, migration::Manager& manager, const trust::PairedPeers& paired,
         std::function<Result<std::string>()> hypervisor_version,
         std::function<std::optional<Error>()> audit_trouble)
      : configuration_(configuration),
        manager_(manager),
        paired_(paired),
        hypervisor_version_(std::move(hypervisor_version)),
        audit_trouble_(std::move(audit_trouble)) {}

  control::DoctorReport examine();
  /// For people; why not, when it cannot be had.
  std::string hypervisor_version() const {
    const auto version = hypervisor_version_();
    return version ? *version : version.error().message;
  }

 private:
  void examine_hypervisor(control::DoctorReport& report);
  void examine_acceleration(control::DoctorReport& report);
  void examine_certificate(control::DoctorReport& report);
  void examine_folders(control::DoctorReport& report);
  void examine_audit_trail(control::DoctorReport& report);
  void examine_hook(control::DoctorReport& report);
  void examine_peers(control::DoctorReport& report);

  const Configuration& configuration_;
  migration::Manager& manager_;
  const trust::PairedPeers& paired_;
  const std::function<Result<std::string>()> hypervisor_version_;
  const std::function<std::optional<Error>()> audit_trouble_;
};

}  // namespace vmigrate::daemon
