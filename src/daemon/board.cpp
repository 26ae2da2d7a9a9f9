#include "daemon/board.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "daemon/report_proto.hpp"

namespace vmigrate::daemon {

void Board::publish(const migration::Report& report) {
  const auto message = to_proto(report);
  // Watchers only queue what they are told, so telling them under the lock keeps their order at no cost.
  const std::lock_guard lock(mutex_);
  const Key key{message.id(), message.role()};
  if (migration::has_ended(report.phase)) {
    active_.erase(key);
    if (auto added = history_.add(message); !added) spdlog::error("{}", added.error().message);
  } else {
    drop_superseded(message);
    active_[key] = message;
  }
  if (message.role() != control::SOURCE) return;
  for (const auto& [number, watcher] : watchers_) {
    if (watcher.first == message.id()) watcher.second(message);
  }
}

/// What was in doubt here is nobody's question any more when the VM is moved again.
void Board::drop_superseded(const control::Migration& newer) {
  for (auto entry = active_.begin(); entry != active_.end();) {
    const auto& old = entry->second;
    const bool superseded = old.vm_id() == newer.vm_id() && old.id() != newer.id() &&
                            old.role() == control::DESTINATION && old.phase() == control::NEEDS_ATTENTION;
    if (superseded) {
      if (auto added = history_.add(old); !added) spdlog::error("{}", added.error().message);
    }
    entry = superseded ? active_.erase(entry) : std::next(entry);
  }
}

std::vector<control::Migration> Board::active() const {
  const std::lock_guard lock(mutex_);
  std::vector<control::Migration> result;
  for (const auto& [key, migration] : active_) result.push_back(migration);
  return result;
}

Result<control::Migration> Board::find(const std::string& vm_or_id) const {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, migration] : active_) {
      if (is_about(migration, vm_or_id)) return migration;
    }
  }
  auto past = history_.find(vm_or_id);
  if (!past) return fail(past.error());
  if (*past) return std::move(**past);
  return fail(ErrorCode::not_found, fmt::format("no migration of '{}' is known here", vm_or_id),
              "see: vmigrate list, vmigrate history");
}

std::optional<control::Migration> Board::watch(const std::string& migration, std::uint64_t watch,
                                               Watcher watcher) {
  const std::lock_guard lock(mutex_);
  const auto found = active_.find({migration, control::SOURCE});
  if (found == active_.end()) return std::nullopt;
  watchers_[watch] = {migration, std::move(watcher)};
  return found->second;
}

void Board::unwatch(std::uint64_t watch) {
  const std::lock_guard lock(mutex_);
  watchers_.erase(watch);
}

std::uint64_t Board::new_watch() {
  const std::lock_guard lock(mutex_);
  return ++last_watch_;
}

}  // namespace vmigrate::daemon
