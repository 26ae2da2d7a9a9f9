#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "hypervisor/vmm_process.hpp"

namespace vmigrate::hypervisor {

struct VmmRecord {
  VmId id;
  std::string name;
  std::string kind;
  ProcessIdentity process;
};

/// Which process has which VM, as files in a folder that lasts as long as processes do: until the host boots
/// again. A daemon that has just started knows from them which VMMs have to come back, and so never takes a
/// VM for gone only because its VMM is not there yet.
class VmmBooks {
 public:
  static Result<VmmBooks> open(std::string folder);
  Result<> write(const VmmRecord& record) const;
  void remove(const VmId& id) const;
  /// What cannot be read is an error: a VM must not be forgotten.
  Result<std::vector<VmmRecord>> read() const;

 private:
  explicit VmmBooks(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace vmigrate::hypervisor
