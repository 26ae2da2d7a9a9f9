#include "peer/tcp.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/tcp.h>  // instead of <netinet/tcp.h>, whose tcp_info ends too early
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "peer/trust.hpp"

namespace vmigrate::peer {
namespace {

constexpr int kBacklog = 64;
// Linux's own scale of packet priorities: TC_PRIO_INTERACTIVE, the first band of the default queue.
constexpr int kInteractive = 6;
constexpr std::size_t kUnsent = std::size_t{256} * 1024;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<Addresses> resolve(const std::string& host, std::uint16_t port, int flags) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int status = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found);
  if (status == 0) return Addresses(found, &::freeaddrinfo);
  return fail(ErrorCode::unreachable,
              fmt::format("'{}' cannot be resolved: {}", host, ::gai_strerror(status)));
}

void set(const FileDescriptor& socket, int level, int option, int value) {
  // A setting that the kernel does not know costs speed, not correctness.
  (void)::setsockopt(socket.get(), level, option, &value, sizeof value);
}

/// What an older kernel does not tell is 0.
std::optional<tcp_info> info_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return info;
}

Result<> await_connection(const FileDescriptor& socket, MonotonicTime deadline) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd entry{socket.get(), POLLOUT, 0};
  if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) == 0) {
    return fail(ErrorCode::unreachable, "it does not answer");
  }
  int number = 0;
  socklen_t size = sizeof number;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &number, &size);
  if (number != 0) return fail(ErrorCode::unreachable, std::generic_category().message(number));
  return {};
}

}  // namespace

Result<FileDescriptor> connect_tcp(const std::string& host, std::uint16_t port, MonotonicTime deadline) {
  auto addresses = resolve(host, port, 0);
  if (!addresses) return fail(addresses.error());
  Error last{ErrorCode::unreachable, "it has no address", ""};
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    FileDescriptor socket(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return fail_errno("socket", errno);
    if (::connect(socket.get(), address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS) {
      last = Error{ErrorCode::unreachable, std::generic_category().message(errno), ""};
      continue;
    }
    const auto connected = await_connection(socket, deadline);
    if (connected) return socket;
    last = connected.error();
  }
  return fail(last);
}

Result<FileDescriptor> listen_tcp(const std::string& address, std::uint16_t port) {
  const std::string where = fmt::format("cannot listen on {}:{}", address, port);
  auto addresses = resolve(address, port, AI_PASSIVE);
  if (!addresses) return fail(addresses.error().in(where));
  const addrinfo* first = addresses->get();
  FileDescriptor socket(::socket(first->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket", errno);
  set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  if (::bind(socket.get(), first->ai_addr, first->ai_addrlen) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return fail(ErrorCode::failed, fmt::format("{}: {}", where, std::generic_category().message(errno)),
                "see the [listen] section of migrated.toml; does another migrated run?");
  }
  return socket;
}

std::uint16_t local_port(const FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  // The port is at the same place in both kinds of address.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

std::string HostAddress::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

std::string remote_address(const FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "an unknown address";
  }
  const bool v6 = address.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host.data(), v6 ? "]" : "", port.data());
}

Measured measured(int socket) {
  const auto info = info_of(socket);
  if (!info) return {};
  const bool timed = info->tcpi_min_rtt != UINT32_MAX;
  return {std::chrono::microseconds(timed ? info->tcpi_min_rtt : 0),
          std::chrono::microseconds(info->tcpi_rwnd_limited)};
}

std::optional<std::size_t> unsent(int socket) {
  const auto info = info_of(socket);
  if (!info) return std::nullopt;
  // A kernel that does not tell the window says 0.
  const std::uint64_t on_their_way = std::uint64_t{info->tcpi_unacked} * info->tcpi_snd_mss;
  const bool has_room = on_their_way + info->tcpi_snd_mss <= info->tcpi_snd_wnd;
  const std::size_t bytes = info->tcpi_notsent_bytes;
  return has_room || bytes == 0 ? std::optional(bytes) : std::nullopt;
}

void limit_unsent(int socket, std::size_t bytes) {
  const int value = static_cast<int>(std::min<std::size_t>(bytes, INT_MAX));
  (void)::setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, sizeof value);
}

void tune(const FileDescriptor& socket, Traffic traffic, Milliseconds give_up_after) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  if (traffic == Traffic::messages) {
    set(socket, SOL_SOCKET, SO_PRIORITY, kInteractive);
    set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(give_up_after.count()));
  }
  limit_unsent(socket.get(), kUnsent);
}

}  // namespace vmigrate::peer
