#include "migration/effort.hpp"

#include <algorithm>

namespace vmigrate::migration {
namespace {

// Between these, neither the wire nor the work is clearly what holds the stream back.
constexpr double kWireIsFull = 0.5;
constexpr double kWireIsIdle = 0.3;
constexpr double kWorkersAreBusy = 0.7;
// What a step has to gain, or may lose, beyond the noise of two measurements. The first one is kept even if
// it gains nothing yet: a later pass gains from knowing what the destination has.
constexpr double kGain = 1.05;
constexpr double kNoLoss = 0.95;
// A wire that is faster than this is soon faster than QEMU, and the work would only cost.
constexpr double kFastEnough = 400e6;  // bytes a second
constexpr std::chrono::milliseconds kFirstPatience{1'000};
constexpr std::chrono::milliseconds kLongestPatience{30'000};

bool is_saturated(const Load& load) {
  return load.wire > kWireIsFull || load.workers > kWorkersAreBusy;
}

std::size_t index(Effort effort) {
  return static_cast<std::size_t>(effort);
}

}  // namespace

std::optional<Effort> EffortChooser::wanted(const Load& load) const {
  if (current_ == Effort::none && load.wire_speed > kFastEnough) return std::nullopt;
  if (load.wire > kWireIsFull && current_ != Effort::strong) return static_cast<Effort>(index(current_) + 1);
  if (load.wire < kWireIsIdle && load.workers > kWorkersAreBusy && current_ != Effort::none)
    return static_cast<Effort>(index(current_) - 1);
  return std::nullopt;
}

Effort EffortChooser::update(const Load& load, MonotonicTime now) {
  // A source that has little to say tells nothing about a step.
  if (!is_saturated(load)) return current_;
  if (before_) {
    const bool first_step = *before_ == Effort::none;
    if (load.rate < rate_before_ * (first_step ? kNoLoss : kGain)) {
      step_back(now);
      return current_;
    }
    experience_[index(current_)].patience = {};
    before_.reset();
  }
  if (const auto next = wanted(load); next && now >= experience_[index(*next)].not_before) {
    step_to(*next, load.rate);
  }
  return current_;
}

void EffortChooser::step_to(Effort effort, double rate) {
  before_ = current_;
  rate_before_ = rate;
  current_ = effort;
}

void EffortChooser::step_back(MonotonicTime now) {
  auto& here = experience_[index(current_)];
  here.patience = std::clamp(here.patience * 2, kFirstPatience, kLongestPatience);
  here.not_before = now + here.patience;
  current_ = *before_;
  before_.reset();
}

}  // namespace vmigrate::migration
