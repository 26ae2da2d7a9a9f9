#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>

#include "base/error.hpp"
#include "base/units.hpp"

namespace vmigrate::hypervisor {

/// Where a test can make a FakeHypervisor fail or wait.
enum class FakeStep {
  // calls
  list,
  describe,
  state,
  check_outgoing,
  check_incoming,
  begin_outgoing,
  begin_incoming,
  connect_stream,
  discard,
  resume,
  destroy,
  undefine,
  set_slowdown,
  // of a move that leaves, in this order
  ask_prepare,  ///< before the destination is asked to prepare
  connect,      ///< before QEMU's stream is handed out
  memory,       ///< the VM runs; the first half of its live memory has been written
  stopped,      ///< its vCPUs have just been stopped; nothing after that was written
  perform,      ///< all was written, and the destination's QEMU has said that it arrived
  confirm,      ///< Finish was answered. Failing here leaves the VM paused, whatever the answer was.
  // of a move that arrives
  prepare,  ///< asked to prepare; failing here refuses
  load,     ///< Finish has been called, everything is here; failing here destroys what came in
};

/// What a FakeHypervisor shall do other than succeed at once. Thread-safe.
class FakeScript {
 public:
  /// The next `times` passes of this step fail.
  void fail(FakeStep step, const Error& error, int times = 1);
  /// No pass of this step fails any more.
  void mend(FakeStep step);
  /// Whoever comes to this step waits there until release().
  void hold(FakeStep step);
  void release(FakeStep step);
  /// Waits until somebody has come to this step. False when nobody did.
  bool reached(FakeStep step, Milliseconds patience = Milliseconds(20'000));

  /// For the fake itself: comes to a step, waits while it is held (or until stopped), fails as asked.
  Result<> pass(FakeStep step, const std::stop_token& stop = {});

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<FakeStep, std::deque<Error>> failures_;
  std::set<FakeStep> held_;
  std::set<FakeStep> reached_;
};

}  // namespace vmigrate::hypervisor
