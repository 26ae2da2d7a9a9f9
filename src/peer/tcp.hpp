#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/units.hpp"

namespace vmigrate::peer {

enum class Traffic { messages, bulk };

/// A connected socket. `host` is a name or an address.
Result<FileDescriptor> connect_tcp(const std::string& host, std::uint16_t port, MonotonicTime deadline);
/// A listening socket; port 0 lets the system choose one.
Result<FileDescriptor> listen_tcp(const std::string& address, std::uint16_t port);
std::uint16_t local_port(const FileDescriptor& socket);
/// "10.0.0.2:40123", "[fd00::2]:40123"
std::string remote_address(const FileDescriptor& socket);

/// What the kernel has measured on a connection.
struct Measured {
  std::chrono::nanoseconds round_trip{};        ///< the shortest of late; 0: none yet
  std::chrono::nanoseconds receiver_limited{};  ///< for which the other end's window was too small, in sum
};
Measured measured(int socket);

/// Bytes that were written and wait in the kernel to be sent. Nothing where the other end has no room for
/// them: then it is not the network that they wait for.
std::optional<std::size_t> unsent(int socket);

/// How much of what was written may wait in the kernel to be sent.
void limit_unsent(int socket, std::size_t bytes);

/// Messages go first, and a link that takes none for so long is given up. Of either kind little is kept in
/// the kernel: what is there cannot be overtaken any more.
void tune(const FileDescriptor& socket, Traffic traffic, Milliseconds give_up_after);

}  // namespace vmigrate::peer
