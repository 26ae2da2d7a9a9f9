#include "migration/forecast.hpp"

#include <algorithm>
#include <cmath>

namespace vmigrate::migration {
namespace {

// Both rates are averages over about a second of a bursty process: nearer than this they cannot be told
// apart.
constexpr double kRoomForNoise = 1.1;
// Beyond a day a forecast is no longer one, and seconds times rates stay far from overflow.
constexpr double kLongestForecast = 86'400;

double per_second(Rate rate) {
  return static_cast<double>(rate.bytes_per_second);
}

Milliseconds from_seconds(double seconds) {
  return Milliseconds(std::llround(std::min(seconds, kLongestForecast) * 1000));
}

}  // namespace

bool converges(Rate moved, Rate dirtied) {
  return dirtied.bytes_per_second == 0 || per_second(moved) > per_second(dirtied) * kRoomForNoise;
}

std::optional<Milliseconds> time_to_switchover(Bytes remaining, Rate moved, Rate dirtied,
                                               Milliseconds max_pause) {
  if (moved.bytes_per_second == 0) return std::nullopt;
  const double within_pause = per_second(moved) * static_cast<double>(max_pause.count()) / 1000;
  const double excess = static_cast<double>(remaining.count) - within_pause;
  if (excess <= 0) return Milliseconds(0);
  if (!converges(moved, dirtied)) return std::nullopt;
  return from_seconds(excess / (per_second(moved) - per_second(dirtied)));
}

}  // namespace vmigrate::migration
