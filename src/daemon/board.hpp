#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/history.hpp"
#include "migration/report.hpp"

namespace vmigrate::daemon {

/// Where the migrations pin up how they stand, and everybody else reads it. Thread-safe.
class Board {
 public:
  using Watcher = std::function<void(const control::Migration&)>;

  explicit Board(History& history) : history_(history) {}

  /// From the migrations. Ended ones go to the history.
  void publish(const migration::Report& report);

  /// Those that have not ended.
  std::vector<control::Migration> active() const;
  /// By VM name, VM UUID, migration id or the start of one: the active one, else the newest of the history.
  Result<control::Migration> find(const std::string& vm_or_id) const;

  /// Calls `watcher` with every report of this migration from now on, never two at once; returns what it is
  /// now. Nothing when it is not active (any more): no call follows.
  std::optional<control::Migration> watch(const std::string& migration, std::uint64_t watch, Watcher watcher);
  void unwatch(std::uint64_t watch);
  /// A number for watch() that no other call gets.
  std::uint64_t new_watch();

 private:
  using Key = std::pair<std::string, control::Role>;

  void drop_superseded(const control::Migration& newer);

  History& history_;
  mutable std::mutex mutex_;
  std::map<Key, control::Migration> active_;
  std::map<std::uint64_t, std::pair<std::string, Watcher>> watchers_;
  std::uint64_t last_watch_ = 0;
};

}  // namespace vmigrate::daemon
