#pragma once

#include <cstring>
#include <string>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.hpp"

namespace vmigrate::control {

/// The path as connect(2) and bind(2) want it. The kernel has room for 107 bytes.
inline Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::usage,
                fmt::format("'{}' cannot be the path of a socket: it has {} bytes, 1 to {} are possible",
                            path, path.size(), sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

inline const sockaddr* as_sockaddr(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace vmigrate::control
