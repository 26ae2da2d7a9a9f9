#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "cli/context.hpp"
#include "cli/interrupts.hpp"
#include "cli/progress_display.hpp"
#include "control/client.hpp"

namespace vmigrate::cli {

/// The shell's convention for a program that Ctrl-C ended: the migration goes on, its end is not known.
inline constexpr int kDetachedExitCode = 130;

struct FollowOptions {
  std::string vm;                    ///< as the user calls it
  bool cancel_on_interrupt = false;  ///< the first Ctrl-C asks for cancel; else it detaches
  /// How long a migration may need attention before that is the result. The daemons go on trying all the
  /// time, and mostly get there, for instance when the link comes back.
  std::chrono::seconds attention_patience{30};
};

/// Follows one migration to its end: progress on standard error, then the result; Ctrl-C in between.
class Follower {
 public:
  Follower(const Context& context, FollowOptions options, Interrupts interrupts);
  /// `request` is answered by migrations until the last. The exit code.
  int run(const control::Request& request);

 private:
  using Time = std::chrono::steady_clock::time_point;

  /// These return the exit code once there is nothing left to follow.
  std::optional<int> wait();
  std::optional<int> read_reports();
  std::optional<int> on_report(const control::Migration& migration);
  std::optional<int> on_interrupt();
  void ask_for_cancel();
  void read_cancel_answer();
  int detach();
  int conclude();
  int lost(const vmigrate::Error& why);

  const Context& context_;
  const FollowOptions options_;
  Interrupts interrupts_;
  std::optional<ProgressDisplay> display_;
  std::optional<control::Client> reports_;
  std::optional<control::Client> cancel_;
  std::optional<control::Migration> migration_;
  std::string vm_;  ///< for messages
  bool interrupted_ = false;
  bool cancel_sent_ = false;
  std::optional<Time> attention_until_;
};

/// What a migration's end looks like, on standard output and standard error. The exit code.
int print_end(const Context& context, const control::Migration& migration);

}  // namespace vmigrate::cli
