#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace vmigrate {

/// Joins two threads: a full queue holds the producer back, an empty one the consumer. The capacity is in
/// the unit the producer weighs its items with (items by default, bytes where items differ in size).
template <class Item>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

  /// Waits for room. False once the queue is closed: the item was not taken. An item heavier than the whole
  /// capacity waits for the queue to be empty, so that it cannot wait for ever.
  bool push(Item item, std::size_t weight = 1) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closed_ || used_ == 0 || used_ + weight <= capacity_; });
    if (closed_) return false;
    used_ += weight;
    items_.emplace_back(std::move(item), weight);
    lock.unlock();  // whoever wakes must not have to wait for it again
    filled_.notify_one();
    return true;
  }

  /// From now on. What is inside beyond it stays.
  void set_capacity(std::size_t capacity) {
    {
      const std::lock_guard lock(mutex_);
      capacity_ = capacity;
    }
    room_.notify_all();
  }

  /// Waits for an item. Nothing once the queue is closed and drained.
  std::optional<Item> pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return closed_ || !items_.empty(); });
    return take_first(lock);
  }

  /// The same, but nothing also when none has come by `deadline`.
  template <class TimePoint>
  std::optional<Item> pop_until(TimePoint deadline) {
    std::unique_lock lock(mutex_);
    filled_.wait_until(lock, deadline, [&] { return closed_ || !items_.empty(); });
    return take_first(lock);
  }

  /// No more items: producers are turned away, the consumer takes what is left.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
    filled_.notify_all();
  }

  /// It is closed and drained: nothing will come any more.
  bool is_over() const {
    std::lock_guard lock(mutex_);
    return closed_ && items_.empty();
  }

  /// The sum of the weights inside, for progress and forecasts.
  std::size_t used() const {
    std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  std::optional<Item> take_first(std::unique_lock<std::mutex>& lock) {
    if (items_.empty()) return std::nullopt;
    auto [item, weight] = std::move(items_.front());
    items_.pop_front();
    used_ -= weight;
    lock.unlock();
    room_.notify_all();
    return std::optional<Item>(std::move(item));
  }

  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::deque<std::pair<Item, std::size_t>> items_;
  std::size_t used_ = 0;
  bool closed_ = false;
};

}  // namespace vmigrate
