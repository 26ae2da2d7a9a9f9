#include "announce/repetitions.hpp"

#include <utility>

namespace vmigrate::announce {

void Repetitions::add(Announcement announcement, MonotonicTime start) {
  const MacAddress mac = announcement.mac;
  pending_.erase(mac);
  if (schedule_.size() > 1) pending_.emplace(mac, Pending{std::move(announcement), start});
}

void Repetitions::remove(const MacAddress& mac) {
  pending_.erase(mac);
}

std::optional<MonotonicTime> Repetitions::next() const {
  std::optional<MonotonicTime> earliest;
  for (const auto& [mac, pending] : pending_) {
    if (!earliest || due(pending) < *earliest) earliest = due(pending);
  }
  return earliest;
}

std::vector<Announcement> Repetitions::take_due(MonotonicTime now) {
  std::vector<Announcement> taken;
  for (auto it = pending_.begin(); it != pending_.end();) {
    Pending& pending = it->second;
    const bool is_due = due(pending) <= now;
    while (pending.turn < schedule_.size() && due(pending) <= now) ++pending.turn;
    const bool is_last = pending.turn == schedule_.size();
    if (is_due) taken.push_back(is_last ? std::move(pending.announcement) : pending.announcement);
    it = is_last ? pending_.erase(it) : std::next(it);
  }
  return taken;
}

}  // namespace vmigrate::announce
