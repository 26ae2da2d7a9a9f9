#include "hypervisor/fake_world.hpp"

#include <algorithm>

namespace vmigrate::hypervisor {

void FakeWorld::note(const std::string& host, const std::string& what) {
  const std::lock_guard lock(mutex_);
  log_.push_back(host + ": " + what);
}

std::vector<std::string> FakeWorld::log() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

std::size_t FakeWorld::position(const std::string& line) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::find(log_.begin(), log_.end(), line) - log_.begin());
}

void FakeWorld::runs(const std::string& host, const VmId& vm) {
  const std::lock_guard lock(mutex_);
  running_[vm].insert(host);
  most_running_[vm] = std::max(most_running_[vm], running_[vm].size());
}

void FakeWorld::stops(const std::string& host, const VmId& vm) {
  const std::lock_guard lock(mutex_);
  running_[vm].erase(host);
}

std::set<std::string> FakeWorld::running_on(const VmId& vm) const {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(vm);
  return found == running_.end() ? std::set<std::string>{} : found->second;
}

std::size_t FakeWorld::most_running_at_once(const VmId& vm) const {
  const std::lock_guard lock(mutex_);
  const auto found = most_running_.find(vm);
  return found == most_running_.end() ? 0 : found->second;
}

}  // namespace vmigrate::hypervisor
