#include "vmm/sockets.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace vmigrate::vmm {
namespace {

constexpr int kBacklog = 64;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ErrorCode::usage, fmt::format("{} is too long for a socket's name", path));
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

FileDescriptor make_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

}  // namespace

Result<Listener> Listener::create(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  auto socket = make_socket();
  ::unlink(path.c_str());
  // Nobody can connect before listen(), so that the mode is in force in time.
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 ||
      ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return fail_errno("listening on " + path, errno);
  }
  return Listener(std::move(socket), path);
}

Listener::~Listener() {
  if (socket_) ::unlink(path_.c_str());
}

Result<FileDescriptor> Listener::accept() const {
  for (;;) {
    FileDescriptor connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) return connection;
    if (errno != EINTR && errno != ECONNABORTED) return fail_errno("waiting on " + path_, errno);
  }
}

void Listener::close() const {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

Result<FileDescriptor> connect(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  auto socket = make_socket();
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    return fail(ErrorCode::unreachable, fail_errno("connecting to " + path, errno).value().message);
  return socket;
}

}  // namespace vmigrate::vmm
