#include "control/listener.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/socket_address.hpp"

namespace vmigrate::control {
namespace {

constexpr mode_t kSocketMode = 0660;
constexpr int kBacklog = 64;

std::string not_made(const std::string& path) {
  return "cannot make the control socket " + path;
}

tl::unexpected<vmigrate::Error> taken(const std::string& path) {
  return fail(ErrorCode::refused, fmt::format("{}: somebody already answers on it", not_made(path)),
              "stop the other migrated, or give this one a control_socket of its own");
}

/// Two daemons that start at the same moment must not remove each other's socket.
Result<FileDescriptor> lock(const std::string& path) {
  const std::string name = path + ".lock";
  FileDescriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail_errno(fmt::format("{}: {}", not_made(path), name), errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  if (errno == EWOULDBLOCK) return taken(path);
  return fail_errno(not_made(path), errno);
}

/// Removes what a daemon that is gone has left; touches nothing else.
Result<> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(not_made(path), errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(ErrorCode::refused, fmt::format("{}: it exists and is not a socket", not_made(path)),
                "remove it, or choose another control_socket");
  }
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return fail_errno(not_made(path), errno);
  const int connected = ::connect(probe.get(), as_sockaddr(address), sizeof(address));
  // EAGAIN: somebody listens, and has more clients waiting than it accepts.
  if (connected == 0 || errno == EAGAIN) return taken(path);
  if (errno != ECONNREFUSED) return fail_errno(not_made(path), errno);
  if (::unlink(path.c_str()) != 0) return fail_errno(not_made(path), errno);
  return {};
}

Result<gid_t> find_group(const std::string& name) {
  std::array<char, 16384> memory{};
  group entry{};
  group* found = nullptr;
  const int error = ::getgrnam_r(name.c_str(), &entry, memory.data(), memory.size(), &found);
  if (error != 0) return fail_errno(fmt::format("group {}", name), error);
  if (found == nullptr) return fail(ErrorCode::not_found, fmt::format("there is no group {}", name));
  return found->gr_gid;
}

Result<> give_to_group(const std::string& path, const std::string& group) {
  if (!group.empty()) {
    const auto gid = find_group(group);
    if (!gid) {
      spdlog::warn("{}: the control socket {} stays with the daemon's own group", gid.error().message, path);
    } else if (::chown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
      return fail_errno(fmt::format("cannot give the control socket {} to group {}", path, group), errno);
    }
  }
  if (::chmod(path.c_str(), kSocketMode) != 0) return fail_errno(not_made(path), errno);
  return {};
}

}  // namespace

Result<Listener> Listener::open(const std::string& path, const std::string& group) {
  const auto address = socket_address(path);
  if (!address) return fail(address.error());
  auto locked = lock(path);
  if (!locked) return fail(locked.error());
  if (auto removed = remove_stale(path, *address); !removed) return fail(removed.error());

  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(not_made(path), errno);
  if (::bind(socket.get(), as_sockaddr(*address), sizeof(*address)) != 0) {
    return fail_errno(not_made(path), errno);
  }
  Listener listener(path, std::move(*locked), std::move(socket));
  // Nobody can connect before listen(), so there is no moment with the wrong owner.
  if (auto given = give_to_group(path, group); !given) return fail(given.error());
  if (::listen(listener.socket_.get(), kBacklog) != 0) return fail_errno(not_made(path), errno);
  return listener;
}

Listener::~Listener() {
  if (!lock_) return;  // moved away
  // The lock's file stays: removing it could take it from a daemon that is about to lock it.
  ::unlink(path_.c_str());
}

}  // namespace vmigrate::control
