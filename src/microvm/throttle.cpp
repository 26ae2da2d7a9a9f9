#include "microvm/throttle.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/thread_name.hpp"

namespace vmigrate::microvm {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTurn{20};

}  // namespace

void Throttle::set(Percent share) {
  thread_ = {};
  if (share == Percent{}) return;
  const std::chrono::nanoseconds held = kTurn * share.count / 100;
  thread_ = std::jthread([this, held](const std::stop_token& stop) {
    name_this_thread("throttle");
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    for (auto turn = SteadyClock::now(); !stop.stop_requested();) {
      hold_(turn + held);
      // Turns that were missed are not made up for: the guest would stand still for long.
      turn = std::max(turn + kTurn, SteadyClock::now());
      never.wait_until(lock, stop, turn, [] { return false; });
    }
  });
}

}  // namespace vmigrate::microvm
