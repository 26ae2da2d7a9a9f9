#include "migration/progress_watch.hpp"

namespace vmigrate::migration {

void ProgressWatch::watch(hypervisor::OutgoingMove& move, Milliseconds interval, const Tell& tell) {
  std::unique_lock lock(mutex_);
  while (!wake_->wait_for(lock, interval, [this] { return stopped_; })) {
    lock.unlock();
    // No answer is no news: the hypervisor says by other means when the move fails.
    if (const auto progress = move.progress()) tell(*progress);
    lock.lock();
  }
}

}  // namespace vmigrate::migration
