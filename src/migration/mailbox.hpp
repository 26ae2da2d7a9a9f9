#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "base/bounded_queue.hpp"
#include "base/clock.hpp"

namespace vmigrate::migration {

/// Where the threads around a migration leave what has happened, for the migration's own thread to deal with:
/// only that thread touches the migration's state. Shared, so that a late caller finds it closed, not gone.
class Mailbox {
 public:
  using Letter = std::function<void()>;

  /// Never blocks. Dropped once the mailbox is closed. How many letters there can be is bounded by the
  /// senders: the peer's lanes are flow-controlled, and the hypervisor's events are a handful.
  void post(Letter letter) { letters_.push(std::move(letter)); }

  /// Opens the next letter, waiting for it until `deadline`. False when none came.
  bool handle_one(MonotonicTime deadline) {
    auto letter = letters_.pop_until(deadline);
    if (!letter) return false;
    (*letter)();
    return true;
  }

  void close() { letters_.close(); }

 private:
  BoundedQueue<Letter> letters_{std::numeric_limits<std::size_t>::max()};
};

}  // namespace vmigrate::migration
