#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include <linux/netlink.h>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::announce {

/// One rtnetlink(7) request: a family header, then attributes.
class NetlinkRequest {
 public:
  template <class Header>
  NetlinkRequest(std::uint16_t type, std::uint16_t flags, const Header& header) {
    static_assert(std::is_trivially_copyable_v<Header>);
    start(type, flags, {reinterpret_cast<const std::byte*>(&header), sizeof(header)});
  }
  void add(std::uint16_t attribute, ByteView value);

 private:
  friend class NetlinkSocket;
  void start(std::uint16_t type, std::uint16_t flags, ByteView header);
  ByteBuffer message_;
};

/// What the kernel sent back, one element a message, each from its family header on; or its errno.
using NetlinkAnswer = tl::expected<std::vector<ByteBuffer>, int>;

/// A socket to the kernel's tables of links, neighbours and forwarding entries, in the network namespace of
/// the thread that opens it.
class NetlinkSocket {
 public:
  static Result<NetlinkSocket> open();
  /// Blocks until the kernel has answered in full, which it does at once.
  NetlinkAnswer request(NetlinkRequest request);

 private:
  explicit NetlinkSocket(FileDescriptor socket) : socket_(std::move(socket)) {}
  FileDescriptor socket_;
  std::uint32_t sequence_ = 0;
};

/// The family header of a message; nothing when it is too short for one.
template <class Header>
std::optional<Header> family_header(ByteView message) {
  static_assert(std::is_trivially_copyable_v<Header>);
  if (message.size() < sizeof(Header)) return std::nullopt;
  Header header;
  std::copy_n(message.data(), sizeof(Header), reinterpret_cast<std::byte*>(&header));
  return header;
}

/// The value of the first attribute of this type behind `header_size` bytes.
std::optional<ByteView> find_attribute(ByteView message, std::size_t header_size, std::uint16_t type);
/// The same for a 32-bit number.
std::optional<std::uint32_t> find_number(ByteView message, std::size_t header_size, std::uint16_t type);

}  // namespace vmigrate::announce
