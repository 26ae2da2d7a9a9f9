#pragma once

#include <memory>
#include <optional>
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
  /// The newest that is_about() it.
  virtual Result<std::optional<control::Migration>> find(const std::string& vm_or_id) = 0;
};

/// Whether `vm_or_id` is its VM's name or UUID, or the beginning of its own id: of six characters or more,
/// for shorter ones are as likely a VM's name.
bool is_about(const control::Migration& migration, const std::string& vm_or_id);

/// Opens (and creates) the history file.
Result<std::unique_ptr<History>> open_history(const std::string& path);

}  // namespace vmigrate::daemon
