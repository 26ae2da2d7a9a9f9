#pragma once

#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/file_descriptor.hpp"
#include "microvm/virtual_machine.hpp"
#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {

constexpr std::chrono::seconds kPatience{60};

/// The two ends of a connection between two hosts.
struct Wire {
  Wire();
  FileDescriptor source;
  FileDescriptor destination;
};

struct Hop {
  Result<SendReport> sent = fail(ErrorCode::failed, "not begun");
  Result<ReceiveReport> received = fail(ErrorCode::failed, "not begun");
};

/// Moves a VM into its twin, the receiving side on a thread of its own.
Hop move(microvm::VirtualMachine& source, microvm::VirtualMachine& destination, const SendOptions& options,
         const Cancellation& cancellation);
Hop move(microvm::VirtualMachine& source, microvm::VirtualMachine& destination,
         const SendOptions& options = {});

/// Likewise, with anything that sends through the source's end of the wire.
Hop move_with(const std::function<Result<SendReport>(int)>& send, microvm::VirtualMachine& destination);

/// Whether KVM logs dirty pages of a slot.
bool is_logged(const microvm::VirtualMachine& vm, std::uint32_t slot);
bool have_same_memory(microvm::VirtualMachine& left, microvm::VirtualMachine& right);

/// VMs for tests, where /dev/kvm opens.
class KvmTest : public testing::Test {
 protected:
  void SetUp() override;

  /// 24 MiB with a hole.
  static microvm::Configuration usual(std::uint32_t vcpus = 1);
  static std::unique_ptr<microvm::VirtualMachine> make(const microvm::Configuration& configuration);
  /// Running, once it has written `ready`.
  static std::unique_ptr<microvm::VirtualMachine> start(const microvm::Configuration& configuration,
                                                        const std::string& guest, std::uint32_t first,
                                                        std::uint32_t second, const std::string& ready);
  /// The memory checker with 2048 pages of which 2000 are written a second.
  static std::unique_ptr<microvm::VirtualMachine> start_checker(const microvm::Configuration& configuration);
  /// What the guest says when it is asked how it is.
  static std::string ask(microvm::VirtualMachine& vm);
  static void expect_good_memory(microvm::VirtualMachine& vm);
  /// After a move that has failed.
  static void expect_as_if_nothing_had_been(microvm::VirtualMachine& vm);
  static void expect_a_move_succeeds(microvm::VirtualMachine& source);
};

}  // namespace vmigrate::kvm
