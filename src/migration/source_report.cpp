// What people see of a migration, on its way and at its end.
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/source_migration.hpp"

namespace vmigrate::migration {
namespace {

namespace source = handover::source;

Milliseconds between(MonotonicTime from, MonotonicTime to) {
  return std::chrono::round<Milliseconds>(to - from);
}

Milliseconds rounded(std::uint64_t microseconds) {
  return std::chrono::round<Milliseconds>(std::chrono::microseconds(microseconds));
}

}  // namespace

void SourceMigration::introduce() {
  report_.id = record_.migration;
  report_.vm = record_.vm;
  report_.vm_name = record_.vm_name;
  report_.vmm = record_.vmm;
  report_.role = handover::Role::source;
  report_.source_host = edges_.host;
  report_.destination_host = record_.peer;
  report_.vm_runs_on = edges_.host;
  report_.started = edges_.clock.wall();
  publish_(report_);
}

std::string SourceMigration::label() const {
  return fmt::format("{} {} to {}", short_form(record_.migration), record_.vm_name, record_.peer);
}

std::string SourceMigration::abort_reason() const {
  const auto* reclaiming = std::get_if<source::Reclaiming>(&state_);
  if (reclaiming == nullptr) return "cancelled on request";
  return reclaiming->why.message.empty() ? "the migration failed on the source" : reclaiming->why.message;
}

void SourceMigration::publish() {
  publish_(report_);
}

void SourceMigration::enter(Phase phase) {
  report_.phase = phase;
  if (phase != Phase::memory) show_slowdown({});
  report_.progress.elapsed = between(started_, edges_.clock.now());
  publish();
}

void SourceMigration::show_state() {
  if (std::holds_alternative<source::Relinquished>(state_)) {
    if (!std::exchange(report_.vm_runs_on, {}).empty()) publish();
    const auto& why = std::get<source::Relinquished>(state_).doubt;
    if (!why.empty()) {
      doubt(
          {ErrorCode::needs_attention,
           fmt::format("{} was handed over to {}, which says: {}", record_.vm_name, record_.peer, why),
           fmt::format("look at {} on {} and decide: either it runs there, or vmigrate resolve {} --run-here "
                       "--i-have-fenced {}",
                       record_.vm_name, record_.peer, record_.vm_name, record_.peer)});
    }
  } else if (std::holds_alternative<source::Releasing>(state_)) {
    report_.vm_runs_on = record_.peer;
    report_.error.reset();
    enter(Phase::clean_up);
  } else if (std::holds_alternative<source::Reclaiming>(state_) &&
             (report_.phase != Phase::clean_up || report_.vm_runs_on.empty())) {
    report_.vm_runs_on = edges_.host;
    report_.error.reset();
    enter(Phase::clean_up);
  }
}

/// libvirt itself keeps people from resuming the VM only as long as the call stands in which it moves.
void SourceMigration::warn_people() {
  constexpr Milliseconds kPause{30'000};
  const auto now = edges_.clock.now();
  if (warned_ || move_ || !std::holds_alternative<source::Relinquished>(state_) || now < warn_at_) return;
  const auto warned =
      hypervisor().warn_people(record_.vm, fmt::format("do not resume, {} may run it", record_.peer));
  if (!warned)
    spdlog::warn("{}: nobody is warned of resuming it by hand: {}", label(), warned.error().message);
  warned_ = warned.has_value();
  warn_at_ = now + kPause;
}

void SourceMigration::warn_no_more() {
  // An earlier life of this daemon may have warned.
  if (!warned_ && !recovered_) return;
  if (auto taken = hypervisor().warn_people(record_.vm, ""); !taken)
    spdlog::warn("{}: the warning stays in the VM's title: {}", label(), taken.error().message);
  warned_ = false;
}

void SourceMigration::doubt(Error why) {
  // It is asked about again and again; the answer is news only when it changes.
  if (report_.phase != Phase::needs_attention || report_.error != why) {
    spdlog::error("{}: needs attention: {}", label(), why.message);
    report_.error = std::move(why);
    enter(Phase::needs_attention);
  }
  warn_people();
}

void SourceMigration::give_up(Error why) {
  spdlog::warn("{}: not begun: {}", label(), why.message);
  if (link_) link_->send(Abort{why.message});
  report_.error = std::move(why);
  end(report_.error->code == ErrorCode::cancelled ? Phase::cancelled : Phase::failed);
}

void SourceMigration::conclude() {
  if (const auto* reclaimed = std::get_if<source::Reclaimed>(&state_)) {
    report_.error = reclaimed->why;
    // Once it has begun, it has failed; that somebody could not be reached is only why.
    if (report_.error->code == ErrorCode::unreachable) report_.error->code = ErrorCode::failed;
    return end(reclaimed->why.code == ErrorCode::cancelled ? Phase::cancelled : Phase::failed);
  }
  report_.vm_runs_on = record_.peer;
  report_.error.reset();
  if (runs_there_) report_.receipt = receipt();
  end(Phase::completed);
}

void SourceMigration::end(Phase phase) {
  stop_observing();
  report_.ended = edges_.clock.wall();
  // Whoever reads that it is over may begin the next one.
  claim_.reset();
  enter(phase);
}

Receipt SourceMigration::receipt() const {
  Receipt receipt;
  const auto now = edges_.clock.now();
  receipt.arrival = rounded(verdict_.arrival_microseconds);
  receipt.load = rounded(verdict_.load_microseconds);
  receipt.start = rounded(verdict_.start_microseconds);
  // The verdict's way back takes half of what the exchange took beside the destination's own work.
  auto ran_at = *runs_there_;
  if (finish_sent_) {
    const auto work = std::chrono::microseconds(verdict_.arrival_microseconds + verdict_.load_microseconds +
                                                verdict_.start_microseconds);
    ran_at = std::max(*finish_sent_, ran_at - (ran_at - *finish_sent_ - work) / 2);
  }
  receipt.total = between(started_, ran_at);
  receipt.release = between(ran_at, now);
  if (vcpus_stopped_ && finish_sent_) {
    receipt.pause = between(*vcpus_stopped_, ran_at);
    receipt.expected_pause = report_.progress.pause;
    receipt.last_pages = between(*vcpus_stopped_, *finish_sent_);
  }
  if (stream_) {
    const auto counters = stream_->counters();
    receipt.guest_bytes = {counters.guest_bytes};
    receipt.wire_bytes = {counters.wire_bytes};
    receipt.passes = counters.passes;
  }
  receipt.slowdown = most_slowed_;
  const auto link = link_stalls_.report(now);
  receipt.link_stalls = link.stalls;
  receipt.link_stalled = link.stalled;
  receipt.memory_verified = true;
  receipt.announcements = verdict_.announcements;
  return receipt;
}

}  // namespace vmigrate::migration
