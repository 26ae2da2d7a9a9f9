#include "chaos.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace vmigrate::simulation {

using std::chrono::microseconds;

void Chaos::arm(std::vector<Planned> plan, std::function<void(const Planned&, Side)> inflict) {
  plan_ = std::move(plan);
  inflict_ = std::move(inflict);
  points_ = 0;
}

void Chaos::heal() {
  plan_.clear();
  next_call_ = {};
  journal_fails_until_ = {};
  network_slow_until_ = {};
  duplicate_ = false;
}

void Chaos::point(Side side, std::string_view what) {
  scheduler_.die_if_killed();
  scheduler_.trace(fmt::format("{} {}", name_of(side), what));
  const auto here = points_++;
  for (;;) {
    const auto due =
        std::find_if(plan_.begin(), plan_.end(), [&](const Planned& each) { return each.point <= here; });
    if (due == plan_.end()) break;
    const auto planned = *due;
    plan_.erase(due);
    scheduler_.trace(fmt::format("FAULT {}", name_of(planned.fault)));
    inflict_(planned, side);
  }
  scheduler_.die_if_killed();
}

CallFate Chaos::fate_of_call(Side side) {
  return std::exchange(next_call_[index(side)], CallFate::works);
}

void Chaos::let_journal_fail(Side side, bool unsure, microseconds duration) {
  journal_fails_until_[index(side)] = scheduler_.now() + duration;
  journal_unsure_[index(side)] = unsure;
}

void Chaos::slow_network_down(microseconds duration) {
  network_slow_until_ = scheduler_.now() + duration;
}

std::vector<Planned> make_plan(Random& random, std::uint64_t points) {
  constexpr std::array<std::size_t, 10> kCounts{0, 1, 1, 1, 2, 2, 2, 3, 3, 5};
  std::vector<Planned> plan(kCounts[random.below(kCounts.size())]);
  std::uint64_t point = 0;
  for (auto& planned : plan) {
    // What follows shortly after the last meets its recovery.
    point = point > 0 && random.one_in(2) ? point + random.below(15) : random.below(points);
    planned.point = point;
    // Kills are what it is about most of all.
    planned.fault =
        random.one_in(3) ? static_cast<Fault>(random.below(3)) : static_cast<Fault>(random.below(kFaults));
    planned.duration = microseconds(random.one_in(3) ? random.below(60'000'000) : random.below(3'000'000));
  }
  return plan;
}

std::string_view name_of(Fault fault) {
  constexpr std::array<std::string_view, kFaults> kNames{
      "kill this daemon", "kill other daemon", "kill both daemons",
      "freeze daemon",    "break links",       "cut links",
      "cut one way",      "slow network",      "duplicate message",
      "end VM here",      "end VM there",      "restart libvirtd",
      "call fails",       "call loses answer", "journal fails",
      "journal unsure",   "reboot host",       "cancel",
      "start again",      "start back",        "decide"};
  return kNames[static_cast<std::size_t>(fault)];
}

}  // namespace vmigrate::simulation
