// The smallest VMM that can move its VM: one vCPU, one memory slot, a guest of four instructions. Two VMs in
// one process, joined by a socket pair; between two hosts the socket is a TCP or TLS connection, and the
// handover at the end a message (docs/embedding.md).
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmigrate/kvm.hpp>

namespace {

constexpr std::size_t kMemory = 1 << 20;
constexpr std::size_t kCode = 0x1000;
constexpr std::size_t kCounter = 0x2000;
// Real mode: incl (0x2000); out %al, $0x10; jmp to the beginning.
constexpr unsigned char kGuest[] = {0x66, 0xff, 0x06, 0x00, 0x20, 0xe6, 0x10, 0xeb, 0xf7};

void check(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(1);
}

// What KVM_SET_CPUID2 and KVM_GET_SUPPORTED_CPUID take. (In C++ sizeof(kvm_cpuid2) is not what it is in C,
// and with it KVM_SET_CPUID2 not the request's number.)
struct CpuidHead {
  __u32 count, padding;
};
struct Cpuid {
  CpuidHead head{100, 0};
  kvm_cpuid_entry2 entries[100]{};
};

class TinyVmm : public vmigrate::kvm::Vmm {
 public:
  TinyVmm() {
    kvm_ = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    check(kvm_ >= 0, "/dev/kvm");
    vm_ = ::ioctl(kvm_, KVM_CREATE_VM, 0);
    void* memory = ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "memory");
    memory_ = static_cast<std::byte*>(memory);
    kvm_userspace_memory_region region{0, 0, 0, kMemory, reinterpret_cast<std::uintptr_t>(memory)};
    check(::ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) == 0, "memory slot");
    vcpu_ = ::ioctl(vm_, KVM_CREATE_VCPU, 0);
    check(vcpu_ >= 0, "vCPU");
    // The vCPU must have its CPUID before the library looks at it.
    Cpuid cpuid;
    check(::ioctl(kvm_, _IOWR(KVMIO, 0x05, CpuidHead), &cpuid) == 0, "supported CPUID");
    // A VM that may run VMs of its own is not moved: no vmx, no svm.
    for (auto& entry : cpuid.entries) {
      if (entry.function == 1) entry.ecx &= ~(1U << 5);
      if (entry.function == 0x80000001) entry.ecx &= ~(1U << 2);
    }
    check(::ioctl(vcpu_, _IOW(KVMIO, 0x90, CpuidHead), &cpuid) == 0, "CPUID");
    const int size = ::ioctl(kvm_, KVM_GET_VCPU_MMAP_SIZE, 0);
    run_ = static_cast<kvm_run*>(
        ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0));
    check(run_ != MAP_FAILED, "kvm_run");
  }
  ~TinyVmm() override {
    if (thread_.joinable()) stop();
  }

  void boot() {
    std::memcpy(memory_ + kCode, kGuest, sizeof kGuest);
    kvm_sregs special{};
    check(::ioctl(vcpu_, KVM_GET_SREGS, &special) == 0, "special registers");
    special.cs.base = special.cs.selector = 0;
    check(::ioctl(vcpu_, KVM_SET_SREGS, &special) == 0, "special registers");
    kvm_regs registers{};
    registers.rip = kCode;
    registers.rflags = 2;
    check(::ioctl(vcpu_, KVM_SET_REGS, &registers) == 0, "registers");
  }

  vmigrate::kvm::MachineDescription description() const {
    vmigrate::kvm::MachineDescription description;
    description.kvm = kvm_;
    description.vm = vm_;
    description.vcpus = {vcpu_};
    description.slots = {{0, "memory", 0, kMemory, memory_, false}};
    return description;
  }

  // The two calls that every VMM has to implement.
  vmigrate::Result<> pause() override {
    stop();
    return {};
  }
  void resume() override {
    stopping_ = false;
    run_->immediate_exit = 0;
    thread_ = std::thread([this] { run(); });
  }

  unsigned counter() const {
    unsigned value = 0;
    std::memcpy(&value, memory_ + kCounter, sizeof value);
    return value;
  }

 private:
  void run() {
    // This guest leaves KVM_RUN all the time. One that may not has to be sent a signal as well.
    while (!stopping_) {
      check(::ioctl(vcpu_, KVM_RUN, 0) == 0 && run_->exit_reason == KVM_EXIT_IO, "the guest");
    }
    // Only when KVM_RUN is entered again does KVM finish the instruction that it was left for.
    run_->immediate_exit = 1;
    check(::ioctl(vcpu_, KVM_RUN, 0) < 0 && errno == EINTR, "finishing the last instruction");
  }
  void stop() {
    stopping_ = true;
    thread_.join();
  }

  int kvm_ = -1;
  int vm_ = -1;
  int vcpu_ = -1;
  std::byte* memory_ = nullptr;
  kvm_run* run_ = nullptr;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

vmigrate::kvm::Machine machine_of(TinyVmm& vmm) {
  auto machine = vmigrate::kvm::Machine::create(vmm.description(), vmm);
  if (machine) return std::move(*machine);
  std::fprintf(stderr, "%s\n", machine.error().message.c_str());
  std::exit(1);
}

}  // namespace

int main() {
  if (::access("/dev/kvm", R_OK | W_OK) != 0) {
    std::puts("/dev/kvm does not open here: nothing to show");
    return 0;
  }
  TinyVmm source;
  TinyVmm destination;
  auto source_machine = machine_of(source);
  auto destination_machine = machine_of(destination);
  source.boot();
  source.resume();
  while (source.counter() < 1000) std::this_thread::yield();

  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socket pair");
  auto cancellation = vmigrate::Cancellation::create();
  vmigrate::Result<vmigrate::kvm::ReceiveReport> received;
  // Whichever side ends first, the other must not wait for it.
  std::thread receiver([&] {
    received = destination_machine.receive(ends[1], *cancellation);
    ::shutdown(ends[1], SHUT_RDWR);
  });
  auto sent = source_machine.send(ends[0], {}, *cancellation);
  ::shutdown(ends[0], SHUT_RDWR);
  receiver.join();
  if (!sent || !received) {
    std::fprintf(stderr, "%s\n", (sent ? received.error() : sent.error()).message.c_str());
    return 1;  // the source's guest runs on
  }

  // The handover: from here on the source never runs this guest again. Only then may the destination.
  const unsigned at_source = source.counter();
  if (auto claimed = destination_machine.claim(); !claimed) {
    std::fprintf(stderr, "%s\n", claimed.error().message.c_str());
    return 1;
  }
  destination.resume();
  while (destination.counter() < at_source + 1000) std::this_thread::yield();
  std::printf("moved in %zu rounds: the guest counted to %u there and goes on here\n", sent->rounds.size(),
              at_source);
  return 0;
}
