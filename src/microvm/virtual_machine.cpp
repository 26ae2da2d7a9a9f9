#include "microvm/virtual_machine.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

namespace vmigrate::microvm {
namespace {

constexpr std::uint32_t kMostVcpus = 4;
constexpr std::uint32_t kMostCpuidEntries = 256;
// Where Intel's processors want some pages of their own (KVM_SET_TSS_ADDR): no memory is there.
constexpr unsigned long kTssAddress = 0xfffbd000;
// Each vCPU's stack begins below 640 KiB, under the hole.
constexpr std::uint32_t kStackTop = 0x80000;
constexpr std::uint32_t kStackSize = 0x4000;

// VMs of its own are nothing for so small a machine, and could not be moved.
void hide_nesting(kvm_cpuid_entry2& entry) {
  if (entry.function == 1) entry.ecx &= ~(std::uint32_t{1} << 5);
  if (entry.function == 0x80000001) entry.ecx &= ~(std::uint32_t{1} << 2);
}

// As C has it: in C++ the kernel's structure of that name is larger, and so are the numbers of the requests.
struct Cpuid {
  std::uint32_t count = kMostCpuidEntries;
  std::uint32_t padding = 0;
  std::array<kvm_cpuid_entry2, kMostCpuidEntries> entries{};
};
struct CpuidHead {
  std::uint32_t count;
  std::uint32_t padding;
};
constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, CpuidHead);
constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, CpuidHead);

// Everything that the host supports, with the vCPU's own number.
Result<> set_cpuid(int kvm, int vcpu, std::uint32_t number) {
  const auto cpuid = std::make_unique<Cpuid>();
  if (::ioctl(kvm, kGetSupportedCpuid, cpuid.get()) != 0) return fail_errno("reading CPUID", errno);
  for (auto& entry : cpuid->entries) {
    hide_nesting(entry);
    if (entry.function == 1) entry.ebx = (entry.ebx & 0xffffff) | number << 24;
    if (entry.function == 0xb) entry.edx = number;
  }
  if (::ioctl(vcpu, kSetCpuid2, cpuid.get()) != 0) return fail_errno("setting CPUID", errno);
  return {};
}

/// The boot protocol's 32-bit entry: ESI has the parameters' address; EBX, EBP and EDI are zero.
Start start_of_linux(const Image& image) {
  Start start;
  start.code_selector = 0x10;
  start.data_selector = 0x18;
  start.descriptor_table = image.linux_start->descriptor_table;
  start.descriptor_bytes = image.linux_start->descriptor_bytes;
  start.entry = image.entry;
  start.vcpus = image.linux_start->parameters;
  return start;
}

}  // namespace

std::vector<Memory> memory_with_hole(std::uint64_t size) {
  constexpr std::uint64_t hole = 0xa0000;
  return {{"low", 0, hole, false}, {"high", kHighMemory, size - hole, false}};
}

Result<std::unique_ptr<VirtualMachine>> VirtualMachine::create(const Configuration& configuration) {
  if (configuration.vcpus == 0 || configuration.vcpus > kMostVcpus) {
    return fail(ErrorCode::usage, fmt::format("a VM has 1 to {} vCPUs", kMostVcpus));
  }
  auto vm = std::unique_ptr<VirtualMachine>(new VirtualMachine(configuration));
  for (const auto step : {&VirtualMachine::create_vm, &VirtualMachine::add_memory, &VirtualMachine::add_vcpus,
                          &VirtualMachine::make_machine}) {
    if (auto done = (*vm.*step)(); !done) return fail(done.error());
  }
  return vm;
}

VirtualMachine::~VirtualMachine() {
  throttle_.set({});
  vcpus_.clear();  // their threads use the rest
}

Result<> VirtualMachine::create_vm() {
  kvm_ = FileDescriptor(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm_) return fail_errno("opening /dev/kvm", errno);
  vm_ = FileDescriptor(::ioctl(kvm_.get(), KVM_CREATE_VM, 0));
  if (!vm_) return fail_errno("making a VM", errno);
  if (configuration_.dirty_ring_size != 0) {
    kvm_enable_cap enable{};
    enable.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
    enable.args[0] = configuration_.dirty_ring_size;
    if (::ioctl(vm_.get(), KVM_ENABLE_CAP, &enable) != 0) return fail_errno("enabling dirty rings", errno);
  }
  kvm_pit_config timer{};
  if (::ioctl(vm_.get(), KVM_SET_TSS_ADDR, kTssAddress) != 0 ||
      ::ioctl(vm_.get(), KVM_CREATE_IRQCHIP, 0) != 0 || ::ioctl(vm_.get(), KVM_CREATE_PIT2, &timer) != 0) {
    return fail_errno("making interrupt and timer chips", errno);
  }
  return {};
}

Result<> VirtualMachine::add_memory() {
  for (std::size_t slot = 0; slot < configuration_.memory.size(); ++slot) {
    const auto& wanted = configuration_.memory[slot];
    auto memory = MappedMemory::create(wanted.size, configuration_.huge_pages, wanted.guest_address);
    if (!memory) return fail(memory.error());
    memory_.push_back(std::move(*memory));
    if (auto set = set_memory(slot, wanted.size); !set) return set;
  }
  return {};
}

Result<> VirtualMachine::set_memory(std::size_t slot, std::uint64_t size) {
  const auto& memory = configuration_.memory[slot];
  kvm_userspace_memory_region region{};
  region.slot = static_cast<std::uint32_t>(slot);
  region.flags = memory.read_only ? KVM_MEM_READONLY : 0U;
  region.guest_phys_addr = memory.guest_address;
  region.memory_size = size;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory_[slot].data());
  if (::ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region) == 0) return {};
  return fail_errno(fmt::format("setting memory slot '{}'", memory.name), errno);
}

Result<> VirtualMachine::add_vcpus() {
  const int run_size = ::ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size <= 0) return fail_errno("asking for a vCPU's size", errno);
  for (std::uint32_t number = 0; number < configuration_.vcpus; ++number) {
    FileDescriptor file(::ioctl(vm_.get(), KVM_CREATE_VCPU, number));
    if (!file) return fail_errno("making a vCPU", errno);
    if (auto set = set_cpuid(kvm_.get(), file.get(), number); !set) return set;
    auto& vcpu = vcpus_.emplace_back(
        std::make_unique<Vcpu>(std::move(file), number, devices_, [this] { return machine_->ring_full(); }));
    if (auto created = vcpu->create(static_cast<std::size_t>(run_size)); !created) return created;
  }
  return {};
}

kvm::MachineDescription VirtualMachine::description() const {
  kvm::MachineDescription description;
  description.kvm = kvm_.get();
  description.vm = vm_.get();
  for (const auto& vcpu : vcpus_) description.vcpus.push_back(vcpu->file());
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    const auto& memory = configuration_.memory[i];
    description.slots.push_back({static_cast<std::uint32_t>(i), memory.name, memory.guest_address,
                                 memory.size, memory_[i].data(), memory.read_only});
  }
  description.dirty_log = configuration_.dirty_log;
  description.dirty_ring_size = configuration_.dirty_ring_size;
  return description;
}

Result<> VirtualMachine::make_machine() {
  auto machine = kvm::Machine::create(description(), *this);
  if (!machine) return fail(machine.error());
  machine_.emplace(std::move(*machine));
  return {};
}

Result<> VirtualMachine::boot(const Image& image, std::uint32_t first, std::uint32_t second) {
  if (image.linux_start && configuration_.vcpus > 1) {
    return fail(ErrorCode::usage, "a Linux kernel is told of one vCPU only, there being no table of them",
                "give the VM one vCPU");
  }
  for (const auto& part : image.parts) {
    auto* memory = find(part.guest_address, part.size);
    if (memory == nullptr) {
      return fail(ErrorCode::usage, fmt::format("the image has {} bytes for {:#x}, where no memory is",
                                                part.size, part.guest_address));
    }
    std::memset(memory, 0, part.size);
    std::memcpy(memory, part.content.data(), part.content.size());
  }
  if (image.linux_start) return vcpus_.front()->set_start(start_of_linux(image));
  for (std::uint32_t number = 0; number < configuration_.vcpus; ++number) {
    Start start;
    start.entry = image.entry;
    start.stack = kStackTop - number * kStackSize;
    start.number = number;
    start.vcpus = configuration_.vcpus;
    start.first = first;
    start.second = second;
    if (auto set = vcpus_[number]->set_start(start); !set) return set;
  }
  return {};
}

void VirtualMachine::run() {
  running_ = true;
  devices_.run(std::chrono::steady_clock::now());
  for (const auto& vcpu : vcpus_) vcpu->resume();
}

void VirtualMachine::stop() {
  for (const auto& vcpu : vcpus_) vcpu->ask_to_stop();
  for (const auto& vcpu : vcpus_) vcpu->await_stopped();
  devices_.stop(std::chrono::steady_clock::now());
  running_ = false;
}

void VirtualMachine::hold(MonotonicTime until) const {
  for (const auto& vcpu : vcpus_) vcpu->hold(until);
}

std::string VirtualMachine::failure() const {
  for (const auto& vcpu : vcpus_) {
    if (auto failure = vcpu->failure(); !failure.empty()) return failure;
  }
  return {};
}

Result<> VirtualMachine::remove_memory(std::size_t slot) {
  if (auto removed = machine_->remove_slot(static_cast<std::uint32_t>(slot)); !removed) return removed;
  return set_memory(slot, 0);
}

Result<> VirtualMachine::pause() {
  runs_when_resumed_ = running_;
  stop();
  return {};
}

void VirtualMachine::resume() {
  if (runs_when_resumed_) run();
}

Result<ByteBuffer> VirtualMachine::save_devices() {
  if (auto failed = failure(); !failed.empty()) return fail(ErrorCode::failed, failed);
  if (devices_.has_ended()) return fail(ErrorCode::failed, "the guest has ended");
  return devices_.save();
}

Result<> VirtualMachine::load_devices(ByteView state) {
  return devices_.load(state);
}

Result<> VirtualMachine::slot_removed(const std::string& name) {
  for (std::size_t i = 0; i < configuration_.memory.size(); ++i) {
    if (configuration_.memory[i].name == name) return remove_memory(i);
  }
  return Vmm::slot_removed(name);
}

void VirtualMachine::progress(const kvm::Progress& progress) {
  if (watcher_) watcher_(progress);
}

// All of it must lie in one slot.
std::byte* VirtualMachine::find(std::uint64_t guest_address, std::uint64_t size) {
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    const auto& memory = configuration_.memory[i];
    if (guest_address < memory.guest_address) continue;
    const auto offset = guest_address - memory.guest_address;
    if (offset < memory.size && size <= memory.size - offset) return memory_[i].data() + offset;
  }
  return nullptr;
}

}  // namespace vmigrate::microvm
