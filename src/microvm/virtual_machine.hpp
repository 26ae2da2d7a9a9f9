#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "microvm/configuration.hpp"
#include "microvm/devices.hpp"
#include "microvm/image.hpp"
#include "microvm/mapped_memory.hpp"
#include "microvm/throttle.hpp"
#include "microvm/vcpu.hpp"
#include "vmigrate/kvm.hpp"

namespace vmigrate::microvm {

/// A small VM on KVM: memory, vCPUs with interrupt chips and timers in the kernel, and the Devices. Made
/// stopped; it is for one thread at a time, but for what `machine()` and `devices()` allow, is_running() and
/// failure().
class VirtualMachine : public kvm::Vmm {
 public:
  static Result<std::unique_ptr<VirtualMachine>> create(const Configuration& configuration);
  ~VirtualMachine() override;

  /// Puts a program into memory and all vCPUs to its beginning. A Linux kernel gets no numbers.
  Result<> boot(const Image& image, std::uint32_t first, std::uint32_t second);
  void run();
  void stop();
  bool is_running() const { return running_; }
  /// Why a vCPU runs no more: empty if all do.
  std::string failure() const;

  /// Is told of every round of a move.
  void watch(std::function<void(const kvm::Progress&)> watcher) { watcher_ = std::move(watcher); }

  kvm::Machine& machine() { return *machine_; }
  const kvm::Machine& machine() const { return *machine_; }
  kvm::MachineDescription description() const;
  Devices& devices() { return devices_; }
  /// `slot`: as in the configuration.
  std::span<std::byte> memory(std::size_t slot) { return memory_[slot].bytes(); }
  const Configuration& configuration() const { return configuration_; }
  /// Takes a slot away from the guest, as when memory is unplugged.
  Result<> remove_memory(std::size_t slot);

  Result<> pause() override;
  void resume() override;
  Result<ByteBuffer> save_devices() override;
  Result<> load_devices(ByteView state) override;
  Result<> slot_removed(const std::string& name) override;
  void slow_down(Percent share) override { throttle_.set(share); }
  void progress(const kvm::Progress& progress) override;

 private:
  explicit VirtualMachine(Configuration configuration) : configuration_(std::move(configuration)) {}
  Result<> create_vm();
  Result<> add_memory();
  Result<> set_memory(std::size_t slot, std::uint64_t size);
  Result<> add_vcpus();
  Result<> make_machine();
  void hold(MonotonicTime until) const;
  std::byte* find(std::uint64_t guest_address, std::uint64_t size);

  const Configuration configuration_;
  FileDescriptor kvm_;
  FileDescriptor vm_;
  std::vector<MappedMemory> memory_;
  Devices devices_;
  std::optional<kvm::Machine> machine_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  Throttle throttle_{[this](MonotonicTime until) { hold(until); }};
  std::function<void(const kvm::Progress&)> watcher_;
  std::atomic<bool> running_ = false;
  bool runs_when_resumed_ = false;  ///< pause() found it running
};

}  // namespace vmigrate::microvm
