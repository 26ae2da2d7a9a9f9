#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "base/threads.hpp"
#include "base/units.hpp"
#include "hypervisor/hypervisor.hpp"

namespace vmigrate::migration {

/// Asks the hypervisor how the memory moves, again and again, on a thread of its own: the question can take a
/// while, and the migration's thread has to be there when the VM is stopped.
class ProgressWatch {
 public:
  using Tell = std::function<void(const hypervisor::MemoryProgress&)>;

  /// `move` outlives this. `tell` is called from the watch's thread.
  ProgressWatch(Threads& threads, hypervisor::OutgoingMove& move, Milliseconds interval, Tell tell)
      : wake_(threads.make_condition()),
        thread_(threads.start(
            "progress", [this, &move, interval, tell = std::move(tell)] { watch(move, interval, tell); })) {}

  ~ProgressWatch() { stop(); }
  ProgressWatch(const ProgressWatch&) = delete;
  ProgressWatch& operator=(const ProgressWatch&) = delete;

  /// No more questions from now on; one may still be under way.
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    wake_->notify_all();
  }

 private:
  void watch(hypervisor::OutgoingMove& move, Milliseconds interval, const Tell& tell);

  std::mutex mutex_;
  const std::unique_ptr<Condition> wake_;
  bool stopped_ = false;
  const std::unique_ptr<Thread> thread_;
};

}  // namespace vmigrate::migration
