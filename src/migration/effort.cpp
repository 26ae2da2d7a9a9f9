#include "migration/effort.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace vmigrate::migration {
namespace {

// Above this share of the time it is what holds the stream back.
constexpr double kFull = 0.5;
// Bytes a second. What two of this decade's processors pack at a level of zstd's is some 1.2 GB/s at its
// fastest, 0.7 at level 1 and 0.45 at level 3, of which a third to a quarter goes on the wire.
constexpr double kFastEnough = 400e6;  // soon faster than QEMU: the work would only cost
constexpr double kForLight = 200e6;
// What becomes no smaller than this will not with more work.
constexpr double kWorthIt = 1.1;
// A share of the time above which packing has no room for more work, and what the next level costs of it.
constexpr double kRoom = 0.8;
constexpr double kNextCosts = 1.7;
// Memory is easy here and hard there: a busy while is remembered for about a second.
constexpr double kRemembered = 0.9;
// By how much more something has to be before it counts: all of this is guessed.
constexpr double kClearly = 1.2;

// How small a Linux guest's memory becomes with an effort, by what the next higher makes of it.
constexpr std::array<double, kEfforts> kOfNextHigher{0, 0.5, 0.95, 1};
constexpr std::chrono::milliseconds kFirstPatience{1'000};
constexpr std::chrono::milliseconds kLongestPatience{30'000};

std::size_t index(Effort effort) {
  return static_cast<std::size_t>(effort);
}

}  // namespace

Effort EffortChooser::update(const Load& load, MonotonicTime now) {
  if (load.network > kFull)
    capacity_ = load.wire;
  else if (load.wire > capacity_ * kClearly)
    capacity_ = std::numeric_limits<double>::infinity();  // more than was seen, nobody knows how much
  busy_ = std::max(load.packing, busy_ * kRemembered);
  // What was seen while the workers got going tells nothing.
  if (std::exchange(settling_, false)) return current_;
  const auto before = current_;
  if (current_ != Effort::none && load.packing > kFull) {
    if (lets_more_through_below(load)) step_down(now);
  } else if (const auto next = wanted(load); now >= experience_[index(next)].not_before) {
    current_ = next;
  }
  settling_ = current_ != before;
  return current_;
}

/// Whether a full network would with the next lower effort take more of the batches than it does now.
bool EffortChooser::lets_more_through_below(const Load& load) const {
  const double reduction = load.batches / std::max(load.wire, 1.0);
  const double below = std::max(1.0, reduction * kOfNextHigher[index(current_) - 1]);
  return load.wire * reduction * kClearly < capacity_ * below;
}

Effort EffortChooser::wanted(const Load& load) const {
  if (current_ == Effort::none) {
    if (load.network <= kFull || load.wire >= kFastEnough) return current_;
    return load.wire > kForLight ? Effort::light : Effort::medium;
  }
  const bool waits = load.putting > kFull;  // a source that has little to say tells nothing
  const bool worth_it = load.batches > load.wire * kWorthIt;
  const bool room = busy_ * kNextCosts < kRoom;
  if (!waits || !worth_it || !room || current_ == Effort::strong) return current_;
  return static_cast<Effort>(index(current_) + 1);
}

void EffortChooser::step_down(MonotonicTime now) {
  auto& here = experience_[index(current_)];
  here.patience = std::clamp(here.patience * 2, kFirstPatience, kLongestPatience);
  here.not_before = now + here.patience;
  current_ = static_cast<Effort>(index(current_) - 1);
}

}  // namespace vmigrate::migration
