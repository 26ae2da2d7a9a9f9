#pragma once

#include <string>

#include "base/error.hpp"
#include "hypervisor/domain.hpp"

namespace vmigrate::migration {

/// The edge to what this host's administrator allows. Asked anew each time; thread-safe. Here everything is.
class Permission {
 public:
  virtual ~Permission() = default;
  /// Errors say which rule stands against it.
  virtual Result<> may_send(const hypervisor::DomainDescription& /*vm*/, const std::string& /*host*/) const {
    return {};
  }
  virtual Result<> may_receive(const hypervisor::DomainDescription& /*vm*/,
                               const std::string& /*host*/) const {
    return {};
  }
  /// Whether a host that has proved who it is still counts for one.
  virtual bool is_trusted(const std::string& /*host*/) const { return true; }
};

}  // namespace vmigrate::migration
