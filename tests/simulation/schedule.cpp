#include "schedule.hpp"

#include <filesystem>

#include <fmt/format.h>

#include "host.hpp"
#include "hypervisor/fake.hpp"

namespace vmigrate::simulation {
namespace {

using hypervisor::DomainState;
using std::chrono::microseconds;
using std::chrono::seconds;

// A move without faults comes to fewer points than this.
constexpr std::uint64_t kPoints = 150;
constexpr seconds kTrouble{200};
constexpr seconds kPatience{400};

hypervisor::DomainDescription the_vm(Random& random) {
  auto vm = hypervisor::example_domain("web1");
  vm.persistent = !random.one_in(5);
  vm.state = random.one_in(10) ? DomainState::paused : DomainState::running;
  return vm;
}

std::string folder_of(const std::string& folder, Side side) {
  auto path = folder + "/" + name_of(side);
  std::filesystem::create_directories(path);
  return path;
}

/// Both hosts, and what happens to them.
class Schedule {
 public:
  Schedule(std::uint64_t seed, const Options& options)
      : scheduler_(seed),
        world_(scheduler_, the_vm(scheduler_.random())),
        chaos_(scheduler_),
        stage_{scheduler_, world_, chaos_, options.mutation},
        network_(stage_),
        books_(stage_),
        a_(stage_, Side::a, network_, books_, folder_of(options.folder, Side::a)),
        b_(stage_, Side::b, network_, books_, folder_of(options.folder, Side::b)) {
    if (options.listener) {
      scheduler_.set_listener([this, listener = options.listener, begin = scheduler_.now()](auto what) {
        const std::chrono::duration<double> since = scheduler_.now() - begin;
        listener(fmt::format("{:11.6f} {}", since.count(), what));
      });
    }
  }

  Outcome run() {
    begin();
    trouble();
    mend();
    if (!world_.violation()) judge();
    if (!world_.violation() && !world_.is_lost()) retry();
    outcome_.violation = world_.violation();
    outcome_.trace_sum = scheduler_.trace_sum();
    return outcome_;
  }

 private:
  Host& host(Side side) { return side == Side::a ? a_ : b_; }

  void begin() {
    const auto& vm = world_.vm();
    runs_ = vm.state == DomainState::running;
    keeps_ = vm.persistent && scheduler_.random().one_in(3);
    // Some have been on the other host before.
    const bool returns = scheduler_.random().one_in(4);
    const Side first = returns ? Side::b : Side::a;
    world_.at(first).defined = vm.persistent;
    world_.at(first).autostart = vm.persistent && scheduler_.random().one_in(2);
    world_.create_incoming(first);
    world_.at(first).process->state = DomainState::paused;
    world_.at(first).process->is_the_vm = true;
    if (runs_) world_.run(first);
    a_.start_daemon();
    b_.start_daemon();
    settle(kPatience);
    if (!returns) return;
    b_.start_migration(keeps_);
    settle(kPatience);
    if (!is_done(Side::a)) world_.violate("the first move did not succeed");
    world_.at(Side::a).autostart = vm.persistent && scheduler_.random().one_in(2);
  }

  void trouble() {
    chaos_.arm(make_plan(scheduler_.random(), kPoints),
               [this](const Planned& planned, Side side) { inflict(planned, side); });
    scheduler_.set_troubled(true);
    a_.start_migration(keeps_);
    settle(kTrouble);
    scheduler_.set_troubled(false);
    outcome_.points = chaos_.points();
    outcome_.moved = is_done(Side::b);
  }

  /// Whatever is broken works again, daemons and hosts that are down come up.
  void mend() {
    chaos_.heal();
    network_.heal();
    a_.thaw_daemon();
    b_.thaw_daemon();
    a_.start_daemon();
    b_.start_daemon();
    settle(kPatience);
  }

  void settle(seconds patience) {
    scheduler_.run(scheduler_.now() + patience, [this] {
      return world_.violation() || (a_.is_idle() && b_.is_idle() && !scheduler_.has_events());
    });
  }

  void inflict(const Planned& planned, Side side);
  void kill(Side side);
  void end_vm(Side side);
  void judge();
  void judge_doubt(Side side, const migration::Report& report);
  void decide_something();
  void decide_for_source(Side side, const MigrationId& migration);
  void decide_for_destination(Side side, const MigrationId& migration);
  void judge_rest(Side holder);
  bool is_done(Side holder);
  std::optional<std::string> has_unfinished(Side side);
  void restart_daemons();
  void retry();

  Scheduler scheduler_;
  World world_;
  Chaos chaos_;
  const Stage stage_;
  Network network_;
  Books books_;
  Host a_;
  Host b_;
  Outcome outcome_;
  bool runs_ = true;
  bool keeps_ = false;
  bool excused_ = false;  ///< what was committed may have died, or its record may be wrong
};

void Schedule::kill(Side side) {
  ++outcome_.kills;
  const auto downtime = scheduler_.random().one_in(3) ? scheduler_.random().below(40'000'000)
                                                      : scheduler_.random().below(2'000'000);
  scheduler_.after(microseconds(1'000 + downtime), [this, side] { host(side).start_daemon(); });
  host(side).kill_daemon();
}

void Schedule::end_vm(Side side) {
  excused_ = excused_ || world_.at(side).process;
  host(side).hypervisor().vm_died();
}

void Schedule::inflict(const Planned& planned, Side side) {
  const auto there = other(side);
  switch (planned.fault) {
    case Fault::kill_this_daemon: return kill(side);
    case Fault::kill_other_daemon: return kill(there);
    case Fault::kill_both_daemons: kill(there); return kill(side);
    case Fault::freeze_daemon: return host(side).freeze_daemon(planned.duration);
    case Fault::break_links: return network_.lose_all();
    case Fault::cut_links: network_.cut(side, planned.duration); return network_.cut(there, planned.duration);
    case Fault::cut_one_way: return network_.cut(side, planned.duration);
    case Fault::slow_network: return chaos_.slow_network_down(planned.duration);
    case Fault::duplicate_message: return chaos_.duplicate_next_message();
    case Fault::end_vm_here: return end_vm(side);
    case Fault::end_vm_there: return end_vm(there);
    case Fault::restart_libvirtd: return host(side).hypervisor().libvirtd_died();
    case Fault::call_fails: return chaos_.let_next_call(side, CallFate::fails);
    case Fault::call_loses_answer: return chaos_.let_next_call(side, CallFate::loses_answer);
    case Fault::journal_fails: return chaos_.let_journal_fail(side, false, planned.duration);
    case Fault::journal_unsure: return chaos_.let_journal_fail(side, true, planned.duration);
    case Fault::reboot_host: end_vm(side); return host(side).reboot(planned.duration);
    case Fault::cancel: return host(side).cancel();
    case Fault::start_again: return a_.start_migration(keeps_);
    case Fault::start_back: return b_.start_migration(keeps_);
    case Fault::decide: return decide_something();
  }
}

/// The VM is there, as it was, and nowhere else.
bool Schedule::is_done(Side holder) {
  const auto wanted = runs_ || world_.was_booted() ? DomainState::running : DomainState::paused;
  return world_.state(holder) == wanted && world_.holds_newest(holder) && !world_.at(other(holder)).process;
}

void Schedule::judge() {
  for (const Side side : {Side::a, Side::b}) {
    for (const auto& report : host(side).reports()) {
      if (report.phase == migration::Phase::needs_attention) judge_doubt(side, report);
      if (world_.violation()) return;
    }
  }
  settle(kPatience);
  if (books_.has_failed() && (has_unfinished(Side::a) || has_unfinished(Side::b))) restart_daemons();
  for (const Side side : {Side::a, Side::b}) {
    if (!host(side).is_idle()) world_.violate(name_of(side) + " never comes to an end");
    for (const auto& report : host(side).reports()) {
      if (!migration::has_ended(report.phase))
        world_.violate(fmt::format("{} ends with a report of {}", name_of(side), to_string(report.phase)));
    }
  }
  if (world_.violation() || world_.is_lost()) return;
  if (is_done(Side::a)) return judge_rest(Side::a);
  if (is_done(Side::b)) return judge_rest(Side::b);
  world_.violate(fmt::format("finally hosta has it {} and hostb {}", to_string(world_.state(Side::a)),
                             to_string(world_.state(Side::b))));
}

std::optional<std::string> Schedule::has_unfinished(Side side) {
  const auto unfinished = books_.on_disk(side).unfinished();
  for (const auto& record : *unfinished) {
    if (record.state != "in doubt") return record.state;
  }
  return std::nullopt;
}

/// A last record that could not be written is an earlier one, which a restart leads on from.
void Schedule::restart_daemons() {
  for (const Side side : {Side::a, Side::b}) host(side).kill_daemon();
  settle(kPatience);
  for (const Side side : {Side::a, Side::b}) host(side).start_daemon();
  settle(kPatience);
}

/// The source waits for a person. It may, if what was committed died or was not written as it was said to be.
void Schedule::judge_doubt(Side side, const migration::Report& report) {
  if (!excused_ && !books_.was_unsure())
    return world_.violate("in doubt for no reason: " + report.error->message);
  const Side there = other(side);
  const bool in_doubt_there = books_.state_of(there, report.id, handover::Role::destination) == "in doubt";
  if (in_doubt_there && world_.at(there).defined && scheduler_.random().one_in(2))
    return decide_for_destination(there, report.id);
  decide_for_source(side, report.id);
  settle(kPatience);
}

void Schedule::decide_something() {
  for (const Side side : {Side::a, Side::b}) {
    for (const auto& report : host(side).reports()) {
      if (report.phase != migration::Phase::needs_attention) continue;
      // Whoever wants to decide looks at the other host first.
      const auto there = books_.state_of(other(side), report.id, handover::Role::destination);
      const bool runs_there = world_.state(other(side)) == hypervisor::DomainState::running;
      if (!runs_there && there != "running" && there != "done") return decide_for_source(side, report.id);
    }
  }
}

/// Who decides for this host has made sure that the other cannot run it, nor start it.
void Schedule::decide_for_source(Side side, const MigrationId& migration) {
  world_.end(other(side), true);
  world_.undefine(other(side));
  world_.decide_for(side);
  books_.resolved(migration);
  outcome_.decided = true;
  host(side).resolve(migration);
}

/// It is started again from its disk. The source's copy, which stands still, is for the source to end.
void Schedule::decide_for_destination(Side side, const MigrationId& migration) {
  world_.decide_for(side);
  books_.resolved(migration);
  outcome_.decided = true;
  host(side).resolve(migration);
  settle(kPatience);
  world_.boot(side);
}

void Schedule::judge_rest(Side holder) {
  for (const Side side : {Side::a, Side::b}) {
    if (const auto left = host(side).folders(); !left.empty())
      world_.violate(fmt::format("{} is left with {}", name_of(side), left.front()));
    if (const auto state = has_unfinished(side))
      world_.violate(fmt::format("{} is left with a record '{}'", name_of(side), *state));
  }
  if (world_.at(other(holder)).defined && !keeps_)
    world_.violate(fmt::format("{} is left with a definition", name_of(other(holder))));
}

/// After all of that, a move is as good as any.
void Schedule::retry() {
  const Side from = is_done(Side::a) ? Side::a : Side::b;
  host(from).start_migration(keeps_);
  settle(kPatience);
  if (world_.violation()) return;
  if (!is_done(other(from))) {
    const auto& report = host(from).reports().back();
    return world_.violate(fmt::format("the next move fails: {}", report.error ? report.error->message : ""));
  }
  judge_rest(other(from));
}

}  // namespace

Outcome run_schedule(std::uint64_t seed, const Options& options) {
  return Schedule(seed, options).run();
}

}  // namespace vmigrate::simulation
