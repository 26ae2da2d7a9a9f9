#pragma once

#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "scheduler.hpp"
#include "world.hpp"

namespace vmigrate::simulation {

enum class Fault {
  kill_this_daemon,  ///< the one that has just come to this point
  kill_other_daemon,
  kill_both_daemons,
  freeze_daemon,  ///< stopped, and continued later
  break_links,    ///< connections are reset, new ones are possible
  cut_links,      ///< nothing passes for a while
  cut_one_way,
  slow_network,
  duplicate_message,
  end_vm_here,  ///< its QEMU dies
  end_vm_there,
  restart_libvirtd,
  call_fails,         ///< the next call of the hypervisor
  call_loses_answer,  ///< it does what was asked, and says that it failed
  journal_fails,      ///< for a while
  journal_unsure,     ///< for a while, writes that are on disk are errors
  reboot_host,
  cancel,
  start_again,  ///< the administrator asks for the same move once more
  start_back,   ///< or for one in the other direction
  decide,       ///< or ends the doubt of a source, having ended what the other host had
};
constexpr std::size_t kFaults = 21;

struct Planned {
  std::uint64_t point = 0;
  Fault fault = Fault::kill_this_daemon;
  std::chrono::microseconds duration{};
};

/// How the next call of a hypervisor goes.
enum class CallFate { works, fails, loses_answer };

/// What goes wrong, and when. The daemons' writes, messages and calls come to points, before and after what
/// they do; the plan says at which of them what happens.
class Chaos {
 public:
  explicit Chaos(Scheduler& scheduler) : scheduler_(scheduler) {}

  /// `inflict` does what this class cannot do by itself.
  void arm(std::vector<Planned> plan, std::function<void(const Planned&, Side)> inflict);
  /// Nothing more goes wrong, and what did is mended.
  void heal();
  std::uint64_t points() const { return points_; }

  /// A daemon is about to do something, or has just done it.
  void point(Side side, std::string_view what);

  void let_next_call(Side side, CallFate fate) { next_call_[index(side)] = fate; }
  CallFate fate_of_call(Side side);
  void let_journal_fail(Side side, bool unsure, std::chrono::microseconds duration);
  bool journal_fails(Side side) const { return scheduler_.now() < journal_fails_until_[index(side)]; }
  bool is_journal_unsure(Side side) const { return journal_unsure_[index(side)]; }
  void slow_network_down(std::chrono::microseconds duration);
  bool is_network_slow() const { return scheduler_.now() < network_slow_until_; }
  void duplicate_next_message() { duplicate_ = true; }
  bool takes_duplicate() { return std::exchange(duplicate_, false); }

 private:
  static std::size_t index(Side side) { return static_cast<std::size_t>(side); }

  Scheduler& scheduler_;
  std::vector<Planned> plan_;
  std::function<void(const Planned&, Side)> inflict_;
  std::uint64_t points_ = 0;
  std::array<CallFate, 2> next_call_{};
  std::array<MonotonicTime, 2> journal_fails_until_{};
  std::array<bool, 2> journal_unsure_{};
  MonotonicTime network_slow_until_;
  bool duplicate_ = false;
};

/// What happens to the first fault at a point that is chosen from so many, and to those that follow it.
std::vector<Planned> make_plan(Random& random, std::uint64_t points);
std::string_view name_of(Fault fault);

}  // namespace vmigrate::simulation
