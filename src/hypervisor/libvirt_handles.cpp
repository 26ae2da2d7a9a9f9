#include "hypervisor/libvirt_handles.hpp"

#include <cstdlib>

#include <fmt/format.h>
#include <libvirt/virterror.h>

namespace vmigrate::hypervisor {

std::string take_text(char* text) {
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return text == nullptr ? "" : text;
}

Error libvirt_error(std::string_view what) {
  const auto* error = ::virGetLastError();
  const int code = error == nullptr ? 0 : error->code;
  const std::string message = fmt::format(
      "{}: {}", what, error == nullptr || error->message == nullptr ? "unknown error" : error->message);
  switch (code) {
    case VIR_ERR_NO_DOMAIN: return {ErrorCode::not_found, message};
    case VIR_ERR_RPC:
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_SYSTEM_ERROR:
      return {ErrorCode::unreachable, message, "check that libvirtd runs on this host"};
    default: return {ErrorCode::failed, message};
  }
}

Result<Connection> open_connection(const std::string& socket) {
  const std::string uri = "qemu+unix:///system?socket=" + socket;
  Connection connection(::virConnectOpen(uri.c_str()));
  if (!connection) return fail(libvirt_error("connecting to libvirt on " + socket));
  return connection;
}

}  // namespace vmigrate::hypervisor
