#include "fixture.hpp"

#include <array>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace vmigrate::kvm {

using microvm::VirtualMachine;

Wire::Wire() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  source = FileDescriptor(ends[0]);
  destination = FileDescriptor(ends[1]);
}

Hop move(VirtualMachine& source, VirtualMachine& destination, const SendOptions& options,
         const Cancellation& cancellation) {
  return move_with([&](int socket) { return source.machine().send(socket, options, cancellation); },
                   destination);
}

Hop move(VirtualMachine& source, VirtualMachine& destination, const SendOptions& options) {
  const auto cancellation = Cancellation::create();
  return move(source, destination, options, *cancellation);
}

Hop move_with(const std::function<Result<SendReport>(int)>& send, VirtualMachine& destination) {
  Wire wire;
  Hop hop;
  const auto cancellation = Cancellation::create();
  std::jthread receiver([&] {
    hop.received = destination.machine().receive(wire.destination.get(), *cancellation);
    ::shutdown(wire.destination.get(), SHUT_RDWR);
  });
  hop.sent = send(wire.source.get());
  ::shutdown(wire.source.get(), SHUT_RDWR);
  receiver.join();
  return hop;
}

bool is_logged(const VirtualMachine& vm, std::uint32_t slot) {
  std::vector<std::uint64_t> bitmap(1 << 16);
  kvm_dirty_log request{};
  request.slot = slot;
  request.dirty_bitmap = bitmap.data();
  return ::ioctl(vm.description().vm, KVM_GET_DIRTY_LOG, &request) == 0;
}

bool have_same_memory(VirtualMachine& left, VirtualMachine& right) {
  for (std::size_t slot = 0; slot < left.configuration().memory.size(); ++slot) {
    const auto a = left.memory(slot);
    if (std::memcmp(a.data(), right.memory(slot).data(), a.size()) != 0) return false;
  }
  return true;
}

void KvmTest::SetUp() {
  const FileDescriptor kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) GTEST_SKIP() << "/dev/kvm does not open here";
}

microvm::Configuration KvmTest::usual(std::uint32_t vcpus) {
  microvm::Configuration configuration;
  configuration.vcpus = vcpus;
  configuration.memory = microvm::memory_with_hole(std::uint64_t{24} << 20);
  return configuration;
}

std::unique_ptr<VirtualMachine> KvmTest::make(const microvm::Configuration& configuration) {
  auto vm = VirtualMachine::create(configuration);
  EXPECT_TRUE(vm) << vm.error().message;
  return std::move(*vm);
}

std::unique_ptr<VirtualMachine> KvmTest::start(const microvm::Configuration& configuration,
                                               const std::string& guest, std::uint32_t first,
                                               std::uint32_t second, const std::string& ready) {
  auto vm = make(configuration);
  const auto file = microvm::load_file(std::string(VMIGRATE_GUESTS "/") + guest);
  EXPECT_TRUE(file);
  const auto image = microvm::read_image(*file);
  EXPECT_TRUE(image);
  EXPECT_TRUE(vm->boot(*image, first, second));
  vm->run();
  EXPECT_NE(vm->devices().await_line(ready, kPatience), "") << vm->failure();
  return vm;
}

std::unique_ptr<VirtualMachine> KvmTest::start_checker(const microvm::Configuration& configuration) {
  return start(configuration, "memory_checker", 2048, 2000, "filled");
}

std::string KvmTest::ask(VirtualMachine& vm) {
  vm.devices().type("s");
  return vm.devices().await_line("=", kPatience);
}

void KvmTest::expect_good_memory(VirtualMachine& vm) {
  const auto answer = ask(vm);
  EXPECT_NE(answer.find("pages=2048 bad=0 "), std::string::npos) << answer << vm.failure();
}

void KvmTest::expect_as_if_nothing_had_been(VirtualMachine& vm) {
  EXPECT_TRUE(vm.is_running());
  EXPECT_EQ(vm.failure(), "");
  for (std::uint32_t slot = 0; slot < vm.configuration().memory.size(); ++slot)
    EXPECT_FALSE(is_logged(vm, slot));
  expect_good_memory(vm);
}

void KvmTest::expect_a_move_succeeds(VirtualMachine& source) {
  const auto destination = make(source.configuration());
  const auto moved = move(source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_TRUE(have_same_memory(source, *destination));
  destination->run();
  expect_good_memory(*destination);
}

}  // namespace vmigrate::kvm
