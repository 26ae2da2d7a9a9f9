#include <cstdio>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "microvm/virtual_machine.hpp"

// vmigrate-microvm: boots an image, or waits for a VM on a socket. Lines on standard input are for the guest,
// but for "!send PATH", which moves it to whoever listens there.
namespace vmigrate::microvm {
namespace {

// The handover: the source will not run the guest again. Whoever gets it may.
constexpr char kRelinquished = 'R';

Result<FileDescriptor> open_socket(const std::string& path, bool listening) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return fail(ErrorCode::usage, "the socket's name is too long");
  path.copy(address.sun_path, path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if (!listening) {
    if (::connect(socket.get(), name, sizeof address) != 0) return fail_errno("connecting to " + path, errno);
    return socket;
  }
  if (::bind(socket.get(), name, sizeof address) != 0 || ::listen(socket.get(), 1) != 0) {
    return fail_errno("listening on " + path, errno);
  }
  FileDescriptor connection(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection) return fail_errno("waiting on " + path, errno);
  ::unlink(path.c_str());
  return connection;
}

Result<> receive(VirtualMachine& vm, const std::string& path) {
  const auto socket = open_socket(path, true);
  if (!socket) return fail(socket.error());
  const auto cancellation = Cancellation::create();
  if (!cancellation) return fail(cancellation.error());
  const auto received = vm.machine().receive(socket->get(), *cancellation);
  if (!received) return fail(received.error());
  char word = 0;
  if (::read(socket->get(), &word, 1) == 1 && word == kRelinquished) return vm.machine().claim();
  return fail(ErrorCode::needs_attention, "the source did not say that it has given the VM up");
}

/// On success the guest is the other's.
Result<> send(VirtualMachine& vm, const std::string& path) {
  const auto socket = open_socket(path, false);
  if (!socket) return fail(socket.error());
  const auto cancellation = Cancellation::create();
  if (!cancellation) return fail(cancellation.error());
  const auto sent = vm.machine().send(socket->get(), {}, *cancellation);
  if (!sent) return fail(sent.error());
  // If this does not arrive nobody runs it; that it has not arrived cannot be known, so it stays stopped.
  if (::send(socket->get(), &kRelinquished, 1, MSG_NOSIGNAL) != 1)
    return fail_errno("giving the VM up", errno);
  fmt::print(stderr, "sent in {} rounds, {}\n", sent->rounds.size(), to_string(sent->sent));
  return {};
}

int report(const Error& error) {
  fmt::print(stderr, "vmigrate-microvm: {}\n", error.message);
  return exit_code(error.code);
}

void show_console(const std::stop_token& stop, Devices& devices) {
  while (!stop.stop_requested()) {
    const auto line = devices.await_line("", std::chrono::seconds(1));
    if (!line.empty()) fmt::print("{}\n", line);
    std::fflush(stdout);
  }
}

int serve(VirtualMachine& vm) {
  vm.run();
  const std::jthread console([&](const std::stop_token& stop) { show_console(stop, vm.devices()); });
  constexpr std::string_view send_command = "!send ";
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.starts_with(send_command)) {
      vm.devices().type(line + "\n");
    } else if (auto sent = send(vm, line.substr(send_command.size())); sent) {
      return 0;
    } else if (report(sent.error()); !vm.is_running()) {
      return exit_code(ErrorCode::needs_attention);
    }
  }
  return 0;
}

int run(const Configuration& configuration, const std::string& image, const std::string& incoming,
        std::uint32_t first, std::uint32_t second) {
  auto vm = VirtualMachine::create(configuration);
  if (!vm) return report(vm.error());
  if (!incoming.empty()) {
    if (auto received = receive(**vm, incoming); !received) return report(received.error());
    return serve(**vm);
  }
  const auto program = load_image(image);
  if (!program) return report(program.error());
  if (auto booted = (*vm)->boot(*program, first, second); !booted) return report(booted.error());
  return serve(**vm);
}

}  // namespace
}  // namespace vmigrate::microvm

int main(int count, char** arguments) {
  CLI::App application("A small VM that vmigrate can move");
  vmigrate::microvm::Configuration configuration;
  std::uint64_t mib = 32;
  std::string image;
  std::string incoming;
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  application.add_option("--memory", mib, "MiB")->check(CLI::Range(2, 1 << 20));
  application.add_option("--vcpus", configuration.vcpus, "1 to 4");
  application.add_option("--first", first, "A number for the guest");
  application.add_option("--second", second, "Another one");
  auto* boot = application.add_option("--image", image, "A flat image or a 32-bit ELF program");
  application.add_option("--incoming", incoming, "Wait for a VM on this Unix socket")->excludes(boot);
  CLI11_PARSE(application, count, arguments);
  configuration.memory = vmigrate::microvm::memory_with_hole(mib << 20);
  return vmigrate::microvm::run(configuration, image, incoming, first, second);
}
