#pragma once

#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/units.hpp"
#include "migration/report.hpp"

namespace vmigrate::migration {

/// How often a migration's link was lost so far, and for how long.
class LinkStalls {
 public:
  /// Why the link stalls from now on, or nothing: it goes on.
  void note(MonotonicTime now, const std::optional<Error>& why) {
    if (!why) return end(now);
    if (since_) return;
    ++count_;
    since_ = now;
    why_ = why->message;
  }
  void end(MonotonicTime now) {
    if (since_) before_ += now - *since_;
    since_.reset();
  }
  /// For how long it may last, from now on.
  void set_window(Milliseconds window) { window_ = window; }

  bool is_stalled() const { return since_.has_value(); }
  LinkReport report(MonotonicTime now) const {
    LinkReport report{count_, rounded(before_), std::nullopt};
    if (!since_) return report;
    report.stalled += rounded(now - *since_);
    report.outage = LinkReport::Outage{rounded(now - *since_), window_, why_};
    return report;
  }

 private:
  static Milliseconds rounded(std::chrono::nanoseconds time) {
    return std::chrono::round<Milliseconds>(time);
  }

  std::uint32_t count_ = 0;
  std::chrono::nanoseconds before_{};
  std::optional<MonotonicTime> since_;
  Milliseconds window_{};
  std::string why_;
};

}  // namespace vmigrate::migration
