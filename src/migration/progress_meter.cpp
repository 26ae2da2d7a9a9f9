#include "migration/progress_meter.hpp"

#include <algorithm>
#include <cmath>

#include "migration/forecast.hpp"

namespace vmigrate::migration {
namespace {

// How long the rates remember: about what a person takes for "now".
constexpr double kMemorySeconds = 1.0;

double smoothed(double old, double fresh, double seconds, bool first) {
  if (first) return fresh;
  return fresh + (old - fresh) * std::exp(-seconds / kMemorySeconds);
}

Rate as_rate(double bytes_per_second) {
  return {static_cast<std::uint64_t>(bytes_per_second)};
}

}  // namespace

void ProgressMeter::update(MonotonicTime now, const OutgoingCarrier::Counters& counters,
                           const hypervisor::MemoryProgress& memory, Milliseconds downtime_limit,
                           Progress& progress) {
  const double seconds = std::chrono::duration<double>(now - last_).count();
  if (seconds > 0) {
    const bool first = counters_.wire_bytes == 0;
    const auto grown = [&](std::uint64_t from, std::uint64_t to) {
      return static_cast<double>(to - from) / seconds;
    };
    guest_rate_ = smoothed(guest_rate_, grown(counters_.guest_bytes, counters.guest_bytes), seconds, first);
    wire_rate_ = smoothed(wire_rate_, grown(counters_.wire_bytes, counters.wire_bytes), seconds, first);
    last_ = now;
    counters_ = counters;
  }
  progress.memory_pass = std::max(counters.passes, 1U);
  progress.memory_total = memory.total;
  progress.memory_processed = memory.processed;
  progress.memory_remaining = memory.remaining;
  progress.guest_rate = as_rate(guest_rate_);
  progress.wire_rate = as_rate(wire_rate_);
  progress.dirty_rate = memory.dirty_rate;
  progress.converging = converges(progress.guest_rate, memory.dirty_rate);
  progress.time_left =
      time_to_switchover(memory.remaining, progress.guest_rate, memory.dirty_rate, progress.max_pause);
  progress.pause =
      pause_to_expect(memory.remaining, progress.guest_rate, counters.network, downtime_limit, terms_);
}

}  // namespace vmigrate::migration
