#pragma once

#include "base/clock.hpp"
#include "hypervisor/hypervisor.hpp"
#include "migration/outgoing_stream.hpp"
#include "migration/report.hpp"

namespace vmigrate::migration {

/// Turns counters into rates and a forecast.
class ProgressMeter {
 public:
  explicit ProgressMeter(MonotonicTime start) : last_(start) {}

  /// Fills in everything of `progress` but the limits and the elapsed time.
  void update(MonotonicTime now, const OutgoingStream::Counters& counters,
              const hypervisor::MemoryProgress& memory, Progress& progress);

 private:
  MonotonicTime last_;
  OutgoingStream::Counters counters_{};
  double guest_rate_ = 0;  // bytes a second, smoothed
  double wire_rate_ = 0;
};

}  // namespace vmigrate::migration
