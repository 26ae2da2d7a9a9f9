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

}  // namespace vmigrate::migration
