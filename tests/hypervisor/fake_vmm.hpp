#pragma once

#include <string>

#include <sys/types.h>

namespace vmigrate::hypervisor {

/// A VMM without a VM in it, as a process of its own: says the words of proto/vmigrate/vmm.proto, and its
/// memory is a few bytes. Keeps to the rules of that file.
class FakeVmm {
 public:
  /// Registers at `socket`; empty `id`: waits for a VM. It refuses VMs that are called "strange".
  FakeVmm(const std::string& socket, const std::string& id, const std::string& name);
  FakeVmm(const FakeVmm&) = delete;
  FakeVmm& operator=(const FakeVmm&) = delete;
  /// Ends it.
  ~FakeVmm();

  pid_t pid() const { return pid_; }
  /// Killed, or by itself.
  bool has_ended();
  void kill();

  static constexpr const char* kKind = "fake-vmm";
  /// What one that sends writes, and one that receives waits for.
  static constexpr const char* kMemory = "all of its memory";
  /// How many bytes are said to be its memory.
  static constexpr unsigned kSize = 1 << 20;

 private:
  pid_t pid_;
  bool reaped_ = false;
};

}  // namespace vmigrate::hypervisor
