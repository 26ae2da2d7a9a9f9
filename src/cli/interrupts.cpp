#include "cli/interrupts.hpp"

#include <cerrno>
#include <csignal>

#include <sys/signalfd.h>
#include <unistd.h>

namespace vmigrate::cli {
namespace {

sigset_t interrupt_only() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

Result<Interrupts> Interrupts::create() {
  const auto set = interrupt_only();
  FileDescriptor signals(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) return fail_errno("cannot watch for Ctrl-C", errno);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return Interrupts(std::move(signals));
}

Interrupts::~Interrupts() {
  if (!signals_) return;  // moved away
  const auto set = interrupt_only();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

bool Interrupts::take() {
  signalfd_siginfo signal{};
  return ::read(signals_.get(), &signal, sizeof(signal)) == static_cast<ssize_t>(sizeof(signal));
}

}  // namespace vmigrate::cli
