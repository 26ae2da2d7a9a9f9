#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "base/threads.hpp"

namespace vmigrate::migration {

/// Where the threads around a migration leave what has happened, for the migration's own thread to deal with:
/// only that thread touches the migration's state. Shared, so that a late caller finds it closed, not gone.
class Mailbox {
 public:
  using Letter = std::function<void()>;

  explicit Mailbox(Threads& threads) : changed_(threads.make_condition()) {}

  /// Never blocks. Dropped once the mailbox is closed. How many letters there can be is bounded by the
  /// senders: the peer's lanes are flow-controlled, the hypervisor's events are a handful, and an arriving
  /// stream says at most a hundred times a second how much was taken.
  void post(Letter letter) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    letters_.push_back(std::move(letter));
    changed_->notify_all();
  }

  /// Opens the next letter, waiting for it until `deadline`. False when none came.
  bool handle_one(MonotonicTime deadline) {
    std::unique_lock lock(mutex_);
    changed_->wait_until(lock, deadline, [this] { return closed_ || !letters_.empty(); });
    if (letters_.empty()) return false;
    const auto letter = std::move(letters_.front());
    letters_.pop_front();
    lock.unlock();
    letter();
    return true;
  }

  /// No more letters. Those that are there can still be opened.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_->notify_all();
  }

 private:
  std::mutex mutex_;
  const std::unique_ptr<Condition> changed_;
  std::deque<Letter> letters_;
  bool closed_ = false;
};

}  // namespace vmigrate::migration
