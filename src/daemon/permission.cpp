#include "daemon/permission.hpp"

namespace vmigrate::daemon {

Result<> ConfiguredPermission::may_send(const hypervisor::DomainDescription& vm,
                                        const std::string& host) const {
  return configuration_.send.permit({vm.name, vm.id.text()}, host, configuration_.host.name);
}

Result<> ConfiguredPermission::may_receive(const hypervisor::DomainDescription& vm,
                                           const std::string& host) const {
  return configuration_.receive.permit({vm.name, vm.id.text()}, host, configuration_.host.name);
}

bool ConfiguredPermission::is_trusted(const std::string& host) const {
  if (paired_->find(host)) return true;
  return !configuration_.tls.ca.empty() && configuration_.peers.contains(host);
}

}  // namespace vmigrate::daemon
