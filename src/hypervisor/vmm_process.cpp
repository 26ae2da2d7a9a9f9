#include "hypervisor/vmm_process.hpp"

#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vmigrate::hypervisor {
namespace {

constexpr Milliseconds kDeathPatience{10'000};

/// Field 22 of /proc/PID/stat (proc(5)). The name in parentheses may itself hold spaces and parentheses.
std::optional<std::uint64_t> start_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  const auto name_end = all.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(all.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  std::uint64_t start = 0;
  if (!(fields >> start)) return std::nullopt;
  return start;
}

FileDescriptor open_process(pid_t pid) {
  return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace

Result<VmmProcess> VmmProcess::of_peer(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return fail_errno("asking who has connected", errno);
  auto file = open_process(peer.pid);
  if (!file) return fail_errno(fmt::format("looking for process {}", peer.pid), errno);
  const auto start = start_of(peer.pid);
  if (!start) return fail(ErrorCode::failed, fmt::format("process {} cannot be looked at", peer.pid));
  return VmmProcess({peer.pid, *start}, std::move(file));
}

Result<std::optional<VmmProcess>> VmmProcess::find(const ProcessIdentity& identity) {
  auto file = open_process(identity.pid);
  if (!file && errno == ESRCH) return std::optional<VmmProcess>();
  if (!file) return fail_errno(fmt::format("looking for process {}", identity.pid), errno);
  const auto start = start_of(identity.pid);
  VmmProcess process(identity, std::move(file));
  // That it cannot be looked at is no sign of its end.
  if (!start && !process.has_ended())
    return fail(ErrorCode::failed, fmt::format("process {} cannot be looked at", identity.pid));
  if (start != identity.start) return std::optional<VmmProcess>();
  return process;
}

bool VmmProcess::await_end(Milliseconds patience) const {
  pollfd ended{file_.get(), POLLIN, 0};
  return ::poll(&ended, 1, static_cast<int>(patience.count())) == 1;
}

Result<> VmmProcess::kill() const {
  const auto killed = ::syscall(SYS_pidfd_send_signal, file_.get(), SIGKILL, nullptr, 0);
  if (killed != 0 && errno != ESRCH)
    return fail_errno(fmt::format("ending process {}", identity_.pid), errno);
  if (await_end(kDeathPatience)) return {};
  return fail(ErrorCode::failed, fmt::format("process {} was killed and does not go away", identity_.pid));
}

}  // namespace vmigrate::hypervisor
