#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "microvm/devices.hpp"

struct kvm_run;

namespace vmigrate::microvm {

/// Where a vCPU begins: in 32-bit protected mode, flat, without paging and interrupts.
struct Start {
  std::uint16_t code_selector = 0x08;
  std::uint16_t data_selector = 0x10;
  std::uint32_t descriptor_table = 0;  ///< guest address
  std::uint16_t descriptor_bytes = 0;  ///< 0: there is none yet, and segments cannot be loaded
  std::uint32_t entry = 0;             ///< EIP
  std::uint32_t stack = 0;             ///< ESP
  std::uint32_t number = 0;            ///< EBX: which vCPU it is
  std::uint32_t vcpus = 0;             ///< ESI: how many there are; of Linux: where its parameters are
  std::uint32_t first = 0;             ///< ECX: what the guest makes of it
  std::uint32_t second = 0;            ///< EDX
};

/// One vCPU and the thread that runs it ("vcpu-N"). Made stopped.
class Vcpu {
 public:
  /// `ring_full`: what to do when its dirty ring is full.
  Vcpu(FileDescriptor file, std::uint32_t number, Devices& devices, std::function<Result<>()> ring_full);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;
  ~Vcpu();

  Result<> create(std::size_t run_size);
  Result<> set_start(const Start& start);
  int file() const { return file_.get(); }

  void resume();
  /// It does not run before then, unless it is asked to stop.
  void hold(MonotonicTime until);
  /// Asks it to stop; await_stopped() waits until it has.
  void ask_to_stop();
  void await_stopped();
  /// Why it runs no more although it was not asked to stop: empty if it has no reason.
  std::string failure() const;

 private:
  enum class Wish { stop, run, end };

  void run();
  bool await_wish_to_run();
  void run_until_stopped();
  /// After KVM_RUN was interrupted: waits until it may go on. False: it is to stop.
  bool may_go_on();
  /// False: it cannot go on.
  bool handle_exit();
  void handle_port();
  void give_up(std::string why);

  FileDescriptor file_;
  const std::uint32_t number_;
  Devices& devices_;
  std::function<Result<>()> ring_full_;
  kvm_run* run_ = nullptr;
  std::size_t run_size_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Wish wish_ = Wish::stop;
  MonotonicTime held_until_;
  bool stopped_ = true;  ///< only its own thread changes it: it alone knows whether it runs
  std::string failure_;
  std::jthread thread_;
};

}  // namespace vmigrate::microvm
