#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "hypervisor/domain.hpp"
#include "hypervisor/libvirt_handles.hpp"

namespace vmigrate::hypervisor {

/// This host's libvirtd, and a connection to it that is opened again after libvirtd was restarted.
/// Thread-safe.
class LibvirtLink {
 public:
  /// `lost` is called on libvirt's event thread when the connection breaks; may be empty.
  LibvirtLink(std::string socket, std::function<void()> lost)
      : socket_(std::move(socket)), lost_(std::move(lost)) {}

  const std::string& socket() const { return socket_; }
  Result<SharedConnection> connection();
  /// Nothing when there is no such VM.
  Result<Domain> find(const VmId& vm);
  Result<DomainState> state(const VmId& vm);
  /// In the VM's title, behind what an administrator has written there.
  Result<> warn_people(const VmId& vm, const std::string& warning);
  Result<> resume(const VmId& vm);
  Result<> destroy(const VmId& vm);
  Result<> undefine(const VmId& vm);
  Result<bool> is_persistent(const VmId& vm);

 private:
  const std::string socket_;
  const std::function<void()> lost_;
  std::mutex mutex_;
  SharedConnection connection_;
};

/// Of a domain that libvirt knows; absent when it has gone in the meantime.
Result<DomainState> state_of(virDomainPtr domain);

}  // namespace vmigrate::hypervisor
