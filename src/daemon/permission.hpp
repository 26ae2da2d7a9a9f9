#pragma once

#include <memory>

#include "daemon/configuration.hpp"
#include "migration/permission.hpp"
#include "trust/paired_peers.hpp"

namespace vmigrate::daemon {

/// What migrated.toml and the pairings say.
class ConfiguredPermission : public migration::Permission {
 public:
  ConfiguredPermission(const Configuration& configuration, std::shared_ptr<const trust::PairedPeers> paired)
      : configuration_(configuration), paired_(std::move(paired)) {}
  Result<> may_send(const hypervisor::DomainDescription& vm, const std::string& host) const override;
  Result<> may_receive(const hypervisor::DomainDescription& vm, const std::string& host) const override;
  bool is_trusted(const std::string& host) const override;

 private:
  const Configuration& configuration_;
  const std::shared_ptr<const trust::PairedPeers> paired_;
};

}  // namespace vmigrate::daemon
