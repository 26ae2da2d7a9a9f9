#include "microvm/standalone.hpp"

#include <cstdio>
#include <iostream>
#include <string_view>

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "microvm/console.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::microvm {
namespace {

// The handover: the source will not run the guest again. Whoever gets it may.
constexpr char kRelinquished = 'R';
constexpr std::string_view kSend = "!send ";
constexpr std::string_view kResume = "!resume";

Result<> receive(VirtualMachine& vm, const std::string& path) {
  const auto listener = vmm::Listener::create(path);
  if (!listener) return fail(listener.error());
  const auto socket = listener->accept();
  if (!socket) return fail(socket.error());
  const auto cancellation = Cancellation::create();
  if (!cancellation) return fail(cancellation.error());
  const auto received = vm.machine().receive(socket->get(), *cancellation);
  if (!received) return fail(received.error());
  char word = 0;
  if (::read(socket->get(), &word, 1) == 1 && word == kRelinquished) {
    if (auto claimed = vm.machine().claim(); !claimed) return claimed;
    vm.run();
  } else {
    fmt::print(
        stderr,
        "vmigrate-microvm: the source did not say that it has given the VM up; it waits here for !resume\n");
  }
  return {};
}

/// On success the guest is the other's.
Result<> send(VirtualMachine& vm, const std::string& path) {
  const auto socket = vmm::connect(path);
  if (!socket) return fail(socket.error());
  const auto cancellation = Cancellation::create();
  if (!cancellation) return fail(cancellation.error());
  const auto sent = vm.machine().send(socket->get(), {}, *cancellation);
  if (!sent) return fail(sent.error());
  // If this does not arrive nobody runs it; that it has not arrived cannot be known, so it stays stopped.
  if (::send(socket->get(), &kRelinquished, 1, MSG_NOSIGNAL) != 1) {
    return fail(ErrorCode::needs_attention,
                "the VM was sent and could not be given up; it waits here for !resume");
  }
  fmt::print(stderr, "sent in {} rounds, {}\n", sent->rounds.size(), to_string(sent->sent));
  return {};
}

void resume(VirtualMachine& vm) {
  if (vm.is_running()) return;
  if (auto claimed = vm.machine().claim(); !claimed) {
    report(claimed.error());
  } else {
    vm.run();
  }
}

int obey(VirtualMachine& vm) {
  const auto console = Console::create(vm, "", "", [&vm] {
    if (const auto failure = vm.failure(); !failure.empty()) report({ErrorCode::failed, failure, ""});
  });
  if (!console) return report(console.error());
  for (std::string line; std::getline(std::cin, line);) {
    if (line.starts_with(kResume)) {
      resume(vm);
    } else if (!line.starts_with(kSend)) {
      vm.devices().type(line + "\n");
    } else if (auto sent = send(vm, line.substr(kSend.size())); sent) {
      return 0;
    } else {
      report(sent.error());
    }
  }
  // A guest that stands still may be the only one there is.
  while (!vm.is_running()) ::pause();
  return 0;
}

}  // namespace

int report(const Error& error) {
  fmt::print(stderr, "vmigrate-microvm: {}\n", error.message);
  if (!error.hint.empty()) fmt::print(stderr, "hint: {}\n", error.hint);
  return exit_code(error.code);
}

int serve(VirtualMachine& vm) {
  vm.run();
  return obey(vm);
}

int receive_and_serve(VirtualMachine& vm, const std::string& path) {
  if (auto received = receive(vm, path); !received) return report(received.error());
  return obey(vm);
}

}  // namespace vmigrate::microvm
