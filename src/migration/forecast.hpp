#pragma once

#include <cstdint>
#include <optional>

#include "base/units.hpp"

/// Decisions of a migration as pure functions of numbers.
namespace vmigrate::migration {

/// Whether memory moves faster than the guest dirties it, with some room for the noise of both measurements.
bool converges(Rate moved, Rate dirtied);

/// How long until what remains fits into the allowed pause, at constant rates. Nothing when it never will,
/// or when nothing moves yet.
///   remaining shrinks by (moved - dirtied) a second until it is moved * max_pause.
std::optional<Milliseconds> time_to_switchover(Bytes remaining, Rate moved, Rate dirtied,
                                               Milliseconds max_pause);

/// The downtime that QEMU is to aim for in this pass over the memory (the first is 1). QEMU stops the guest
/// as soon as what remains fits, so a large limit is used up even where another pass would have made the
/// pause short: it begins with `first`, and doubles with each pass that did not come down to it, up to what
/// is allowed.
Milliseconds downtime_limit(std::uint32_t pass, Milliseconds first, Milliseconds max_pause);

/// How long moving what remains would take with the guest stopped. Nothing when nothing moves yet.
std::optional<Milliseconds> pause_if_stopped_now(Bytes remaining, Rate moved);

}  // namespace vmigrate::migration
