#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate::migration {

/// What to do with a VM whose memory changes faster than it can be moved. The numbers are those of
/// control.proto.
enum class OnStall {
  abort = 1,  ///< give up; the VM runs on where it is
  pause = 2,  ///< stop it for as long as the rest takes
};

/// Watches whether the passes over the memory come to anything. No clock and no I/O.
class StallWatch {
 public:
  /// `remaining` in this `pass` (the first is 1), `may_stop`: the hypervisor would stop the VM already if
  /// what remains fitted into the longest pause that is allowed. True once pass after pass has left as much
  /// to do as the one before, for long enough that it is no passing burst.
  bool is_hopeless(std::uint32_t pass, Bytes remaining, bool may_stop, MonotonicTime now);

 private:
  std::uint32_t pass_ = 0;
  Bytes most_;                     // that remained in this pass: what it began with
  std::optional<Bytes> previous_;  // what the one before began with
  std::uint32_t in_vain_ = 0;      // passes that began with as much as the one before
  std::optional<MonotonicTime> since_;
};

}  // namespace vmigrate::migration
