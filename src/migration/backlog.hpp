#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "base/clock.hpp"

namespace vmigrate::migration {

/// Memory that has left the hypervisor here and that the one there has not taken yet, and a bound for it.
///
/// Queues that are short in bytes are not enough: a page of zeros is nine bytes of QEMU's stream and next to
/// nothing on the wire, so they hold gigabytes of such memory, and the hypervisor there looks through all of
/// it while the guest stands still. So this counts in the guest's bytes, and holds the source back when more
/// is on its way than the destination takes in a round trip and 50 ms, or 32 MiB if that is more.
///
/// From any thread.
class Backlog {
 public:
  explicit Backlog(std::chrono::nanoseconds round_trip) : round_trip_(round_trip) {}

  /// So much of the stream is on its way, with so much of the guest's memory; both from its beginning on.
  void sent(std::uint64_t stream_bytes, std::uint64_t guest_bytes);
  /// So much of the stream is with the hypervisor there, as its host says.
  void taken(std::uint64_t stream_bytes, MonotonicTime now);
  /// Waits while more is on its way than may be. There is no bound until the destination has been heard of
  /// twice.
  void wait_for_room();
  /// Nobody waits from now on: the guest stands still, or all is over.
  void let_go();

  /// Of the guest's memory, in bytes.
  std::uint64_t on_its_way() const;
  /// How long wait_for_room() has taken so far.
  std::chrono::nanoseconds waited() const;

  /// Of the guest's memory, in bytes, if the destination takes `rate` bytes a second.
  static std::uint64_t most(double rate, std::chrono::nanoseconds round_trip);

 private:
  struct Mark {
    std::uint64_t stream_bytes = 0;
    std::uint64_t guest_bytes = 0;
  };
  bool has_room() const;

  const std::chrono::nanoseconds round_trip_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Mark> marks_;  // on their way, ascending
  std::uint64_t guest_sent_ = 0;
  std::uint64_t guest_taken_ = 0;
  std::optional<MonotonicTime> last_taken_;
  std::optional<double> rate_;  // of the guest's bytes a second that are taken, lately
  std::chrono::nanoseconds waited_{};
  bool let_go_ = false;
};

}  // namespace vmigrate::migration
