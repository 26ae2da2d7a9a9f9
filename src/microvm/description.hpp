#pragma once

#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "microvm/configuration.hpp"
#include "microvm/virtual_machine.hpp"
#include "vmigrate/vmm.pb.h"

namespace vmigrate::microvm {

/// How this VMM calls itself to `migrated`.
inline constexpr const char* kKind = "vmigrate-microvm";

struct Identity {
  VmId id;
  std::string name;
};

/// What a VM is told `migrated` and another VMM to be.
Result<vmm::Description> describe(const VirtualMachine& vm, const Identity& identity);
/// Refuses what no vmigrate-microvm has said: it comes from another host.
Result<Configuration> configuration_of(const vmm::Description& description);
Result<Identity> identity_of(const vmm::Description& description);
/// A VM that the described one can be received into.
Result<std::unique_ptr<VirtualMachine>> make_twin(const vmm::Description& description);

}  // namespace vmigrate::microvm
