#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::daemon {

/// The migrations that have ended on this host, for people; what this host has promised is in the journal.
/// Thread-safe.
class History {
 public:
  virtual ~History() = default;
  /// Replaces an earlier entry of the same migration and role.
  virtual Result<> add(const control::Migration& migration) = 0;
  /// The newest first, at most `limit`; of one VM (by name or UUID) when `vm` is not empty.
  virtual Result<std::vector<control::Migration>> list(std::uint32_t limit, const std::string& vm) = 0;
};

/// Opens (and creates) the history file.
Result<std::unique_ptr<History>> open_history(const std::string& path);

}  // namespace vmigrate::daemon
