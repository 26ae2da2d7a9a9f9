#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/units.hpp"

/// When the VM is to be stopped, and for how long that will be: pure functions of numbers.
namespace vmigrate::pacing {

/// What the length of the pause depends on beside the memory that is left.
struct SwitchoverTerms {
  Milliseconds max_pause{};
  bool accelerated = true;  ///< by KVM
  std::chrono::nanoseconds round_trip{};
};

/// What the pause holds beside moving what is left of the memory: the queue before the wire, the devices'
/// state, the way to the other host. `network`: the share of the time for which the network is waited for.
Milliseconds pause_beside_memory(double network, const SwitchoverTerms& terms);

/// The downtime that QEMU is to aim for in this pass over the memory (the first is 1). QEMU stops the guest
/// as soon as what remains fits, so a large limit is used up even where another pass would have made the
/// pause short. So it begins at what users do not notice and doubles with each pass that did not come down to
/// it, up to what `max_pause` leaves for memory. Emulated guests are spared passes: see the code.
Milliseconds downtime_limit(std::uint32_t pass, const SwitchoverTerms& terms);

/// Whether downtime_limit() will not become larger.
bool is_largest_limit(Milliseconds limit, const SwitchoverTerms& terms);

/// The pause if the guest is stopped as soon as what remains fits into `limit`. Nothing when nothing moves
/// yet.
std::optional<Milliseconds> pause_to_expect(Bytes remaining, Rate moved, double network, Milliseconds limit,
                                            const SwitchoverTerms& terms);

}  // namespace vmigrate::pacing
