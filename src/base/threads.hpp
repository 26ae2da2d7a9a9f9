#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate {

/// A thread that was started; destroying it waits for its end.
class Thread {
 public:
  virtual ~Thread() = default;
};

/// What threads wait for each other with, as std::condition_variable.
class Condition {
 public:
  virtual ~Condition() = default;

  /// Lets go of the lock, waits for notify_all() or until `deadline`, and takes the lock again. May return
  /// for no reason. False once the deadline has passed.
  virtual bool wait_until(std::unique_lock<std::mutex>& lock, MonotonicTime deadline) = 0;
  virtual void notify_all() = 0;
  /// What deadlines are measured by.
  virtual MonotonicTime now() const = 0;

  /// Whether `met` came true before the deadline.
  template <class Met>
  bool wait_until(std::unique_lock<std::mutex>& lock, MonotonicTime deadline, Met met) {
    while (!met()) {
      if (!wait_until(lock, deadline)) return met();
    }
    return true;
  }
  template <class Met>
  bool wait_for(std::unique_lock<std::mutex>& lock, Milliseconds patience, Met met) {
    return wait_until(lock, now() + patience, met);
  }
};

/// The edge to the system's threads. Whatever decides about VMs starts its threads and waits here, so that a
/// simulation can run all the threads of several hosts as one, in an order that it chooses.
class Threads {
 public:
  virtual ~Threads() = default;
  /// `name` is the thread's, of 15 characters at most.
  virtual std::unique_ptr<Thread> start(std::string name, std::function<void()> work) = 0;
  virtual std::unique_ptr<Condition> make_condition() = 0;
};

/// The real ones.
class SystemThreads : public Threads {
 public:
  std::unique_ptr<Thread> start(std::string name, std::function<void()> work) override;
  std::unique_ptr<Condition> make_condition() override;
};

}  // namespace vmigrate
