#include "microvm/standby.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmigrate::microvm {
namespace {

constexpr char kTaken = 'T';

sigset_t child_signal() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGCHLD);
  return signals;
}

/// What the child does. It ends with its parent as long as it has no VM.
int wait_for_vm(const AgentSettings& settings, pid_t parent, int pipe) {
  const auto signals = child_signal();
  ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) return EXIT_SUCCESS;
  Agent agent(settings, [pipe] {
    ::prctl(PR_SET_PDEATHSIG, 0);
    ::setsid();
    (void)!::write(pipe, &kTaken, 1);
  });
  const auto served = agent.serve();
  if (served) return EXIT_SUCCESS;
  fmt::print(stderr, "vmigrate-microvm: {}\n", served.error().message);
  return exit_code(served.error().code);
}

/// The exit code of `wanted`, if it is among the children that have ended by themselves.
std::optional<int> reap(pid_t wanted) {
  std::optional<int> code;
  int status = 0;
  for (pid_t child = 0; (child = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (child == wanted && WIFEXITED(status)) code = WEXITSTATUS(status);
  }
  return code;
}

/// Whether the child has said that it has a VM: at once, or, once it has ended, for certain.
bool has_taken(int pipe) {
  pollfd said{pipe, POLLIN, 0};
  char word = 0;
  return ::poll(&said, 1, 0) == 1 && ::read(pipe, &word, 1) == 1;
}

/// Until the child has a VM, or was killed. Otherwise its exit code.
std::optional<int> await_taken(pid_t child, int pipe, int signals) {
  for (;;) {
    std::array<pollfd, 2> files{{{pipe, POLLIN, 0}, {signals, POLLIN, 0}}};
    if (::poll(files.data(), files.size(), -1) < 0) continue;
    if (files[1].revents != 0) {
      signalfd_siginfo ignored{};
      (void)!::read(signals, &ignored, sizeof ignored);
      // It may have had a VM, and lost it again at once.
      if (const auto code = reap(child)) return has_taken(pipe) ? std::nullopt : code;
    }
    if (files[0].revents != 0) {
      if (has_taken(pipe) || ::kill(child, 0) != 0) return std::nullopt;
      // It has closed the pipe, so it is about to be reaped.
      pollfd gone{signals, POLLIN, 0};
      ::poll(&gone, 1, -1);
    }
  }
}

}  // namespace

int stand_by(const AgentSettings& settings) {
  const auto signals = child_signal();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const FileDescriptor ended(::signalfd(-1, &signals, SFD_CLOEXEC));
  const pid_t self = ::getpid();
  for (;;) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return EXIT_FAILURE;
    const FileDescriptor reading(ends[0]);
    FileDescriptor writing(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) return EXIT_FAILURE;
    if (child == 0) std::_Exit(wait_for_vm(settings, self, writing.get()));
    writing.reset();
    if (const auto code = await_taken(child, reading.get(), ended.get())) return *code;
  }
}

}  // namespace vmigrate::microvm
