#pragma once

#include <cstdint>

#include "base/bytes.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::peer {

/// A listening socket on 127.0.0.1 and a port that the kernel chose.
/// `receive_buffer`: of the connections that it accepts, in bytes; 0: as large as the kernel likes.
FileDescriptor listen_anywhere(int receive_buffer = 0);
std::uint16_t port_of(const FileDescriptor& socket);
/// A port on which nothing listens.
std::uint16_t unused_port();
/// From 127.0.0.`from`. Empty when nothing listens there.
FileDescriptor connect_to(std::uint16_t port, std::uint8_t from = 1);
/// False when the other end has gone.
bool send_all(const FileDescriptor& socket, ByteView bytes);
/// What comes until the other end closes.
ByteBuffer read_to_end(const FileDescriptor& socket);

}  // namespace vmigrate::peer
