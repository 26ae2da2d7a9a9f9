// Both machines together, on a network that loses messages and on hosts whose daemons are killed at any
// point: whatever the schedule, the VM never runs twice, and once everything works again it runs exactly
// once.
#include <array>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "handover/destination.hpp"
#include "handover/source.hpp"

namespace vmigrate::handover {
namespace {

const Error kWhy{ErrorCode::failed, "trouble", ""};

/// The hypervisors, the journals and the wire between them, as far as they matter here. Domain states are
/// what libvirt really does: a dead client before Finish takes the incoming VM with it, one after it leaves
/// it paused.
class World {
 public:
  bool source_runs = true;
  bool source_exists = true;
  bool destination_runs = false;
  bool destination_exists = false;

  source::State source = source::Preparing{};
  destination::State destination = destination::Reserved{};
  source::State source_journal = source::Preparing{};
  destination::State destination_journal = destination::Reserved{};
  bool link_up = true;
  bool source_disk_full = false;
  bool destination_disk_full = false;

  void at_source(const source::Event& event) {
    auto result = source::step(source, event);
    if (!result.legal) return;
    source = result.next;
    for (auto action : result.actions) {
      if (!act(action)) return at_source(source::JournalFailed{kWhy});
    }
  }

  void at_destination(const destination::Event& event) {
    auto result = destination::step(destination, event);
    if (!result.legal) return;
    destination = result.next;
    for (auto action : result.actions) {
      if (!act(action)) return at_destination(destination::JournalFailed{kWhy});
    }
  }

  void kill_source() {
    move_alive = false;
    source = source_journal;
    cut();
    // libvirt resumes by itself when a client dies while pages are sent, and leaves the VM paused later.
    if (source_exists && stream_incomplete) source_runs = true;
    if (!source::is_final(source)) at_source(source::Restarted{});
  }

  void kill_destination() {
    destination = destination_journal;
    resume_called = false;
    cut();
    if (!finish_reached_hypervisor) destination_exists = false;
    if (!destination::is_final(destination)) at_destination(destination::Restarted{});
  }

  void cut() {
    link_up = false;
    finish_in_flight = false;
    verdict_in_flight.reset();
    abort_in_flight = false;
    at_source(source::LinkLost{kWhy});
    at_destination(destination::LinkLost{kWhy});
  }

  static constexpr int kChoices = 16;
  /// One thing that can happen next, by number below kChoices; numbers of things that cannot happen now do
  /// nothing.
  void happen(int choice) {
    switch (choice) {
      case 0: return prepare();
      case 1: return stop_source();
      case 2: return request_finish(false);
      case 3: return deliver_finish();
      case 4: return load(true);
      case 5: return deliver_verdict();
      case 6: return ask();
      case 7: return at_source(source::CancelRequested{});
      case 8: return kill_source();
      case 9: return kill_destination();
      case 10: return cut();
      case 11: return load(false);
      case 12: return deliver_abort();
      case 13: source_disk_full = !source_disk_full; return;
      case 14: destination_disk_full = !destination_disk_full; return;
      case 15: return see_it_run();
    }
  }

  /// Everything works from now on: every promise comes to its end.
  void heal() {
    source_disk_full = destination_disk_full = false;
    for (int round = 0; round < 20; ++round) {
      deliver_abort();
      deliver_finish();
      load(true);
      see_it_run();
      deliver_verdict();
      ask();
      if (!source::is_final(source) && !std::holds_alternative<source::Relinquished>(source)) {
        at_source(source::Failed{kWhy});
      }
      if (std::holds_alternative<destination::Reserved>(destination) ||
          std::holds_alternative<destination::Incoming>(destination)) {
        at_destination(destination::LinkLost{kWhy});
      }
    }
  }

 private:
  bool move_alive = true;
  bool stream_incomplete = true;
  bool finish_reached_hypervisor = false;
  bool resume_called = false;
  bool finish_in_flight = false;
  bool abort_in_flight = false;
  std::optional<Outcome> verdict_in_flight;

  void prepare() {
    if (!link_up || !std::holds_alternative<source::Preparing>(source) ||
        !std::holds_alternative<destination::Reserved>(destination)) {
      return;
    }
    destination_exists = true;
    at_destination(destination::Prepared{});
    at_source(source::StreamStarted{});
  }
  void stop_source() {
    if (!std::holds_alternative<source::Streaming>(source)) return;
    source_runs = false;
    at_source(source::VcpusStopped{});
  }
  void request_finish(bool cancelled) {
    if (!move_alive || !std::holds_alternative<source::Stopped>(source)) return;
    stream_incomplete = false;
    at_source(source::FinishRequested{cancelled});
  }
  void deliver_finish() {
    if (!std::exchange(finish_in_flight, false)) return;
    at_destination(destination::FinishReceived({}));
  }
  void load(bool works) {
    if (!std::holds_alternative<destination::Loading>(destination)) return;
    if (works)
      at_destination(destination::Loaded{});
    else
      at_destination(destination::Failed{kWhy});
  }
  void see_it_run() {
    if (!std::exchange(resume_called, false)) return;
    if (destination_exists)
      at_destination(destination::VcpusRun{});
    else
      at_destination(destination::VmMissing{kWhy});
  }
  void deliver_verdict() {
    if (!verdict_in_flight) return;
    at_source(source::VerdictReceived{*std::exchange(verdict_in_flight, std::nullopt)});
  }
  void deliver_abort() {
    if (std::exchange(abort_in_flight, false)) at_destination(destination::AbortReceived{kWhy});
  }
  void ask() {
    if (!std::holds_alternative<source::Relinquished>(source)) return;
    at_source(source::VerdictReceived{destination::outcome(destination)});
  }

  bool act(source::Action action) {
    using enum source::Action;
    switch (action) {
      case record:
        if (source_disk_full) return false;
        source_journal = source;
        return true;
      case abort_hypervisor:
        move_alive = false;
        at_source(source::HypervisorEnded{kWhy});
        return true;
      case send_abort: abort_in_flight = link_up; return true;
      case send_finish: finish_in_flight = link_up; return true;
      case ask_destination: return true;  // happens as ask(), whenever the schedule says so
      case answer_loaded:
        if (move_alive) source_exists = source_runs = false;
        move_alive = false;
        at_source(source::HypervisorEnded{});
        return true;
      case answer_not_loaded:
        if (move_alive) source_runs = true;
        move_alive = false;
        at_source(source::HypervisorEnded{kWhy});
        return true;
      case reclaim:
        source_runs = true;
        at_source(source::VmIsBack{});
        return true;
      case remove_here:
        source_exists = source_runs = false;
        at_source(source::CopyRemoved{});
        return true;
      case send_confirmed:
        if (link_up) at_destination(destination::ConfirmedReceived{});
        return true;
    }
    return true;
  }

  bool act(destination::Action action) {
    using enum destination::Action;
    switch (action) {
      case record:
        if (destination_disk_full) return false;
        destination_journal = destination;
        return true;
      case finish: finish_reached_hypervisor = true; return true;
      case resume:
        // It may run before anybody knows. What is discarded then has run, and counts as running for ever.
        if (destination_exists) destination_runs = true;
        resume_called = true;
        return true;
      case discard:
        destination_exists = false;
        at_destination(destination::Discarded{});
        return true;
      case send_verdict:
        if (link_up) verdict_in_flight = destination::outcome(destination);
        return true;
    }
    return true;
  }
};

/// Something that happens, and whether the migration then gets one step further before the next.
struct Trouble {
  int choice = 0;
  bool goes_on = false;
};
void showValue(const Trouble& trouble, std::ostream& out) {
  out << trouble.choice << (trouble.goes_on ? " then on" : "");
}

/// Each as likely as any other, whatever RapidCheck's size is: plain arbitrary numbers are small ones, most
/// of the time.
rc::Gen<std::vector<Trouble>> any_trouble() {
  static const std::vector<Trouble> kAll = [] {
    std::vector<Trouble> all;
    for (int choice = 0; choice < World::kChoices; ++choice) {
      all.push_back({choice, false});
      all.push_back({choice, true});
    }
    return all;
  }();
  return rc::gen::container<std::vector<Trouble>>(rc::gen::elementOf(kAll));
}

constexpr std::array<int, 7> kWayToSuccess{0, 1, 2, 3, 4, 15, 5};

/// The invariant after every event, and at the end of it all, when `trouble` begins `steps` into the way to
/// success, which is gone to its end nevertheless.
void survives(const std::vector<Trouble>& trouble, std::size_t steps) {
  World world;
  const auto happen = [&](int choice) {
    world.happen(choice);
    RC_ASSERT(!(world.source_runs && world.destination_runs));
  };
  const auto* next = kWayToSuccess.begin();
  while (next != kWayToSuccess.begin() + steps) happen(*next++);
  for (const auto& [choice, goes_on] : trouble) {
    happen(choice);
    if (goes_on && next != kWayToSuccess.end()) happen(*next++);
  }
  while (next != kWayToSuccess.end()) happen(*next++);
  world.heal();
  RC_ASSERT(world.source_runs != world.destination_runs);
  RC_ASSERT(source::is_final(world.source));
}

RC_GTEST_PROP(TwoHosts, NeverTwoAndFinallyOne, ()) {
  // Left to chance, a schedule hardly ever gets to where it is dangerous: almost anything that happens
  // earlier ends the migration. So the same trouble begins after every step of the way to success.
  const auto trouble = *any_trouble();
  for (std::size_t steps = 0; steps <= kWayToSuccess.size(); ++steps) survives(trouble, steps);
}

TEST(TwoHosts, TheWayToSuccessIsOne) {
  // What the property begins with leads where it says.
  World world;
  for (const int step : {0, 1, 2, 3, 4, 15}) world.happen(step);
  EXPECT_EQ(name(world.source), "relinquished");
  EXPECT_EQ(name(world.destination), "running");
  world.happen(5);
  EXPECT_EQ(name(world.source), "confirmed");
  EXPECT_TRUE(world.destination_runs);
  EXPECT_FALSE(world.source_runs);
}

TEST(TwoHosts, EveryScheduleOfFiveStepsBehindTheStop) {
  // Exhaustive where it matters most: from the stopped VM on, every order of everything that can happen.
  const auto run = [](auto&& self, const World& world, int depth) -> void {
    ASSERT_FALSE(world.source_runs && world.destination_runs);
    World healed = world;
    healed.heal();
    ASSERT_NE(healed.source_runs, healed.destination_runs);
    if (depth == 0) return;
    for (int choice = 2; choice < World::kChoices; ++choice) {
      World next = world;
      next.happen(choice);
      self(self, next, depth - 1);
      if (testing::Test::HasFatalFailure()) return;
    }
  };
  World world;
  world.happen(0);
  world.happen(1);
  run(run, world, 5);
}

}  // namespace
}  // namespace vmigrate::handover
