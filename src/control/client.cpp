#include "control/client.hpp"

#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/socket_address.hpp"

namespace vmigrate::control {
namespace {

constexpr timeval kConnectPatience{.tv_sec = 5, .tv_usec = 0};

/// The group that may use the socket, or empty when nobody can say.
std::string group_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || status.st_gid == 0) return {};
  std::array<char, 16384> memory{};
  group entry{};
  group* found = nullptr;
  if (::getgrgid_r(status.st_gid, &entry, memory.data(), memory.size(), &found) != 0 || found == nullptr)
    return {};
  return found->gr_name;
}

std::string user_name() {
  std::array<char, 16384> memory{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, memory.data(), memory.size(), &found) != 0 || found == nullptr) {
    return fmt::format("uid {}", ::geteuid());
  }
  return found->pw_name;
}

tl::unexpected<vmigrate::Error> not_allowed(const std::string& path) {
  const auto group = group_of(path);
  const auto user = user_name();
  return fail(ErrorCode::not_allowed, fmt::format("{} may not use migrated's socket {}", user, path),
              group.empty() ? "run it as root"
                            : fmt::format("run it as root, or let an administrator do: usermod -aG {} {} "
                                          "(counts from the next login)",
                                          group, user));
}

tl::unexpected<vmigrate::Error> cannot_connect(const std::string& path, int number) {
  switch (number) {
    case ENOENT:
      return fail(ErrorCode::unreachable,
                  fmt::format("migrated does not run on this host: there is no socket {}", path),
                  "start it: systemctl start migrated; if it has another control_socket: --socket PATH");
    case ECONNREFUSED:
      return fail(ErrorCode::unreachable,
                  fmt::format("migrated does not run on this host: nobody answers on {}", path),
                  "start it: systemctl start migrated; why it ended: journalctl -u migrated");
    case EACCES:
    case EPERM: return not_allowed(path);
    case EAGAIN:
      return fail(ErrorCode::unreachable,
                  fmt::format("migrated takes no clients on {}: it hangs or is busy", path),
                  "see what it does: journalctl -u migrated");
    default: {
      auto error = fail_errno(fmt::format("cannot reach migrated on {}", path), number).value();
      error.code = ErrorCode::unreachable;
      return fail(error);
    }
  }
}

}  // namespace

Result<Client> Client::connect(const std::string& path) {
  const auto address = socket_address(path);
  if (!address) return fail(address.error());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("cannot make a socket", errno);
  // On a unix socket this limits connect(2) too, which waits while the daemon's backlog is full.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectPatience, sizeof(kConnectPatience));
  if (::connect(socket.get(), as_sockaddr(*address), sizeof(*address)) != 0)
    return cannot_connect(path, errno);
  return Client(std::move(socket), path);
}

Result<> Client::send(const Request& request) {
  const auto frame = to_frame(request);
  if (!frame) return fail(frame.error());
  std::string_view rest = *frame;
  while (!rest.empty()) {
    const auto count = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (count > 0)
      rest.remove_prefix(static_cast<std::size_t>(count));
    else if (errno == EPIPE || errno == ECONNRESET)
      return {};  // it has said why: receive() tells
    else if (errno != EINTR)
      return lost(errno);
  }
  return {};
}

Result<std::optional<Response>> Client::receive() {
  while (true) {
    auto response = receive_arrived();
    if (!response || *response || finished_) return response;
    pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) return lost(errno);
  }
}

Result<std::optional<Response>> Client::receive_arrived() {
  while (!finished_) {
    auto response = next();
    if (!response || *response) return response;
    const auto more = read_arrived();
    if (!more) return fail(more.error());
    if (!*more) return std::nullopt;
  }
  return std::nullopt;
}

Result<std::optional<Response>> Client::next() {
  const auto unreadable = [](const std::string& why) {
    return fail(ErrorCode::unreachable, "migrated's answer cannot be read: " + why,
                "are vmigrate and migrated of the same version? see: vmigrate version");
  };
  auto message = decoder_.next();
  if (!message) return unreadable(message.error().message);
  if (!*message) return std::nullopt;
  Response response;
  if (!response.ParseFromString(**message)) return unreadable("it is no response");
  finished_ = response.last();
  return response;
}

Result<bool> Client::read_arrived() {
  std::array<char, 16384> bytes{};
  const auto count = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count > 0) {
    decoder_.append({bytes.data(), static_cast<std::size_t>(count)});
    return true;
  }
  if (count == 0) return lost(0);
  if (errno == EAGAIN || errno == EINTR) return false;
  return lost(errno);
}

tl::unexpected<vmigrate::Error> Client::lost(int number) const {
  return fail(ErrorCode::unreachable,
              fmt::format("migrated closed the connection on {} before its answer was complete{}", path_,
                          number == 0 ? "" : ": " + std::generic_category().message(number)),
              "see why: journalctl -u migrated");
}

Result<> ask(const std::string& path, const Request& request,
             const std::function<void(const Response&)>& each) {
  auto client = Client::connect(path);
  if (!client) return fail(client.error());
  if (auto sent = client->send(request); !sent) return sent;
  while (true) {
    auto response = client->receive();
    if (!response) return fail(response.error());
    if (!*response) return {};
    each(**response);
  }
}

}  // namespace vmigrate::control
