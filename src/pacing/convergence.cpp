#include "pacing/convergence.hpp"

#include <algorithm>

namespace vmigrate::pacing {
namespace {

constexpr std::uint32_t kPassesInVain = 3;
// Guests have busy minutes and quiet ones; a pass over a small memory takes less than a second.
constexpr std::chrono::seconds kBurst{30};
// Passes that leave less than this of what those before left make progress.
constexpr double kProgress = 0.9;
// What a pass began with is seen by looking every now and then: only of many looks is the most what it was.
constexpr std::chrono::seconds kPeriod{5};
constexpr std::uint32_t kSlowdownStep = 10;
// The hypervisor slows the VM from the second pass on after it was asked to, and what that one dirties is
// what the next one begins with.
// QEMU takes passes of less than a second for one.
constexpr std::uint32_t kPassesUntilSeen = 3;

}  // namespace

bool StallWatch::is_hopeless(std::uint32_t pass, Bytes remaining, bool may_stop, MonotonicTime now) {
  if (pass < first_looked_at_ || now < looked_at_from_) return false;
  if (first_ == 0) {
    begin_period(pass, remaining, now);
  } else if (pass != pass_ && now - begun_ >= kPeriod) {
    end_period(pass - first_, may_stop, now);
    begin_period(pass, remaining, now);
  }
  pass_ = pass;
  most_ = std::max(most_, remaining);
  return is_in_vain() && now - *since_ >= kBurst;
}

void StallWatch::begin_period(std::uint32_t pass, Bytes remaining, MonotonicTime now) {
  first_ = pass;
  begun_ = now;
  most_ = remaining;
}

void StallWatch::end_period(std::uint32_t passes, bool may_stop, MonotonicTime now) {
  const bool in_vain = may_stop && previous_ &&
                       static_cast<double>(most_.count) >= static_cast<double>(previous_->count) * kProgress;
  in_vain_ = in_vain ? in_vain_ + passes : 0;
  if (!in_vain)
    since_.reset();
  else if (!since_)
    since_ = now;
  previous_ = most_;
}

bool StallWatch::is_in_vain() const {
  return since_ && in_vain_ >= kPassesInVain;
}

void StallWatch::expect_change(MonotonicTime now) {
  first_looked_at_ = pass_ + kPassesUntilSeen;
  looked_at_from_ = now + kPeriod;
  first_ = 0;
  // As many as are not looked at: one period more tells.
  in_vain_ = kPassesUntilSeen;
  since_.reset();
}

Convergence::Verdict Convergence::judge(std::uint32_t pass, Bytes remaining, bool may_stop,
                                        MonotonicTime now) {
  const bool hopeless = watch_.is_hopeless(pass, remaining, may_stop, now);
  if (slowdown_ == max_slowdown_) return {slowdown_, hopeless};
  if (watch_.is_in_vain()) {
    slowdown_ = std::min(max_slowdown_, Percent{slowdown_.count + kSlowdownStep});
    watch_.expect_change(now);
  }
  return {slowdown_, false};
}

}  // namespace vmigrate::pacing
