#include "migration/convergence.hpp"

#include <algorithm>

namespace vmigrate::migration {
namespace {

constexpr std::uint32_t kPassesInVain = 3;
// Guests have busy minutes and quiet ones; a pass over a small memory takes less than a second.
constexpr std::chrono::seconds kBurst{30};
// A pass that leaves less than this of what the one before left makes progress.
constexpr double kProgress = 0.9;

}  // namespace

bool StallWatch::is_hopeless(std::uint32_t pass, Bytes remaining, bool may_stop, MonotonicTime now) {
  if (pass == pass_) {
    most_ = std::max(most_, remaining);
  } else {
    const bool in_vain =
        may_stop && previous_ &&
        static_cast<double>(most_.count) >= static_cast<double>(previous_->count) * kProgress;
    in_vain_ = in_vain ? in_vain_ + 1 : 0;
    if (!in_vain)
      since_.reset();
    else if (!since_)
      since_ = now;
    if (pass_ > 0) previous_ = most_;
    pass_ = pass;
    most_ = remaining;
  }
  return in_vain_ >= kPassesInVain && now - *since_ >= kBurst;
}

}  // namespace vmigrate::migration
