#include "hypervisor/fake_script.hpp"

namespace vmigrate::hypervisor {

void FakeScript::fail(FakeStep step, const Error& error, int times) {
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < times; ++i) failures_[step].push_back(error);
}

void FakeScript::mend(FakeStep step) {
  const std::lock_guard lock(mutex_);
  failures_.erase(step);
}

void FakeScript::hold(FakeStep step) {
  const std::lock_guard lock(mutex_);
  held_.insert(step);
  reached_.erase(step);
}

void FakeScript::release(FakeStep step) {
  const std::lock_guard lock(mutex_);
  held_.erase(step);
  changed_.notify_all();
}

bool FakeScript::reached(FakeStep step, Milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [&] { return reached_.contains(step); });
}

Result<> FakeScript::pass(FakeStep step, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  reached_.insert(step);
  changed_.notify_all();
  const bool released = changed_.wait(lock, stop, [&] { return !held_.contains(step); });
  if (!released || stop.stop_requested()) return vmigrate::fail(ErrorCode::cancelled, "aborted");
  auto& failures = failures_[step];
  if (failures.empty()) return {};
  Error error = std::move(failures.front());
  failures.pop_front();
  return vmigrate::fail(std::move(error));
}

}  // namespace vmigrate::hypervisor
