#include "hypervisor/unix_socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hypervisor/rpc_message.hpp"

namespace vmigrate::hypervisor {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::failed, fmt::format("{} is too long for a socket's name", path),
                "set a shorter runtime folder (paths.runtime in migrated.toml)");
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

FileDescriptor make_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

Result<> read_all(int socket, std::byte* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t count = ::recv(socket, bytes, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("reading from libvirt", errno);
    if (count == 0) return fail(ErrorCode::unreachable, "libvirt closed the connection");
    bytes += count;
    size -= static_cast<std::size_t>(count);
  }
  return {};
}

}  // namespace

Result<UnixListener> UnixListener::create(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  FileDescriptor socket = make_socket();
  // Nobody can connect before listen(), so that the mode is in force in time.
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
      ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(socket.get(), 1) != 0) {
    return fail_errno("listening on " + path, errno);
  }
  return UnixListener(std::move(socket), path);
}

UnixListener::~UnixListener() {
  std::error_code ignored;
  if (socket_) std::filesystem::remove(path_, ignored);
}

Result<FileDescriptor> UnixListener::accept() const {
  for (;;) {
    FileDescriptor socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket) return socket;
    if (errno != EINTR && errno != ECONNABORTED) return fail_errno("waiting for libvirt on " + path_, errno);
  }
}

void UnixListener::close() const {
  shut_down(socket_);
}

Result<FileDescriptor> connect_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  FileDescriptor socket = make_socket();
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno("connecting to " + path, errno);
  }
  return socket;
}

bool is_own_process(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
         credentials.pid == ::getpid();
}

void shut_down(const FileDescriptor& socket) {
  if (socket) ::shutdown(socket.get(), SHUT_RDWR);
}

Result<> write_all(int socket, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("writing to libvirt", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<ByteBuffer> read_rpc_message(int socket) {
  std::array<std::byte, 4> start{};
  if (auto read = read_all(socket, start.data(), start.size()); !read) return fail(read.error());
  const auto length = parse_length(start);
  if (!length) return fail(length.error());
  ByteBuffer message(*length);
  std::copy(start.begin(), start.end(), message.begin());
  if (auto read = read_all(socket, message.data() + start.size(), *length - start.size()); !read) {
    return fail(read.error());
  }
  return message;
}

}  // namespace vmigrate::hypervisor
