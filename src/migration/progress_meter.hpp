#pragma once

#include "base/clock.hpp"
#include "hypervisor/hypervisor.hpp"
#include "migration/outgoing_stream.hpp"
#include "migration/report.hpp"
#include "pacing/switchover.hpp"

namespace vmigrate::migration {

/// Turns counters into rates and a forecast.
class ProgressMeter {
 public:
  ProgressMeter(MonotonicTime start, const pacing::SwitchoverTerms& terms) : terms_(terms), last_(start) {}

  /// Fills in everything of `progress` but the limits and the elapsed time. `downtime_limit`: the
  /// hypervisor's now.
  void update(MonotonicTime now, const OutgoingCarrier::Counters& counters,
              const hypervisor::MemoryProgress& memory, Milliseconds downtime_limit, Progress& progress);

 private:
  const pacing::SwitchoverTerms terms_;
  MonotonicTime last_;
  OutgoingCarrier::Counters counters_{};
  double guest_rate_ = 0;  // bytes a second, smoothed
  double wire_rate_ = 0;
};

}  // namespace vmigrate::migration
