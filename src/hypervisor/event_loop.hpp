#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/error.hpp"

namespace vmigrate::hypervisor {

/// libvirt's event loop on a thread of its own ("libvirt-events"). libvirt has one a process, which must be
/// registered before the first connection is opened and run for as long as there is one: keepalive answers
/// and domain events come from it, and without it long jobs are cut off.
class EventLoop {
 public:
  static Result<std::unique_ptr<EventLoop>> create();
  /// Every connection must be closed before.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

 private:
  EventLoop() = default;
  void run() const;

  std::atomic<bool> stopping_ = false;
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
