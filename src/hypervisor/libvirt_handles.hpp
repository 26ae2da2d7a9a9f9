#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <libvirt/libvirt.h>

#include "base/error.hpp"

/// Owners for libvirt's objects.
namespace vmigrate::hypervisor {

struct CloseConnection {
  void operator()(virConnectPtr connection) const { ::virConnectClose(connection); }
};
using Connection = std::unique_ptr<virConnect, CloseConnection>;
using SharedConnection = std::shared_ptr<virConnect>;

struct FreeDomain {
  void operator()(virDomainPtr domain) const { ::virDomainFree(domain); }
};
using Domain = std::unique_ptr<virDomain, FreeDomain>;

/// Takes a string that libvirt allocated.
std::string take_text(char* text);

/// What libvirt said last on this thread, as "what: message". The code says whether nobody answered
/// (unreachable), there is no such VM (not_found) or anything else (failed).
Error libvirt_error(std::string_view what);

/// Opens a connection to the libvirtd that listens on this socket.
Result<Connection> open_connection(const std::string& socket);

}  // namespace vmigrate::hypervisor
