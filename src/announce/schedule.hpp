#pragma once

#include <vector>

#include "base/units.hpp"

namespace vmigrate::announce {

/// When an interface is announced, counted from the moment its VM runs: 0, 50, 150, 250 and 350 ms, then a
/// second apart until 9.35 s; 14 times.
///
/// The first is what normally counts. Those close behind it make up for frames lost in the very moment of the
/// handover, when the old host may still flush its last ones. Those a second apart are for networks that do
/// not forward at once: a switch that runs rapid spanning tree needs up to three hello times (6 s) to notice
/// a lost neighbour and change its topology, and forgets what it had learnt when it does. Longer would not
/// find more networks, only keep old news going.
inline std::vector<Milliseconds> announcement_schedule() {
  std::vector<Milliseconds> times;
  for (const int milliseconds : {0, 50, 150, 250, 350}) times.emplace_back(milliseconds);
  while (times.size() < 14) times.push_back(times.back() + Milliseconds(1000));
  return times;
}

}  // namespace vmigrate::announce
