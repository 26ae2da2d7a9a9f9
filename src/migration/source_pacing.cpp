// How memory moves: what is seen of it, and when the VM is to be stopped, slowed, or left where it is.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/source_migration.hpp"

namespace vmigrate::migration {

namespace source = handover::source;

void SourceMigration::on_progress(const hypervisor::MemoryProgress& memory) {
  if (report_.phase != Phase::memory || !stream_ || !progress_meter_) return;
  progress_meter_->update(edges_.clock.now(), stream_->counters(), memory, downtime_limit_, report_.progress);
  note_link();
  if (link_stalls_.is_stalled()) {
    // The stream, which would tell, stands still; and no pass ends.
    look_whether_it_stopped();
  } else {
    raise_downtime_limit(memory.pass);
    show_slowdown(memory.slowdown);
    watch_for_stall(memory);
  }
  report_.progress.elapsed = std::chrono::duration_cast<Milliseconds>(edges_.clock.now() - started_);
  publish();
}

pacing::SwitchoverTerms SourceMigration::terms() const {
  return {options_.max_pause, domain_.accelerated, link_->session().round_trip()};
}

void SourceMigration::raise_downtime_limit(std::uint32_t pass) {
  const auto limit = downtime_limit(pass, terms());
  if (!stall_dealt_with_ && limit > downtime_limit_) (void)set_downtime_limit(limit);
}

bool SourceMigration::set_downtime_limit(Milliseconds limit) {
  if (!move_) return false;
  if (const auto set = move_->set_max_pause(limit); !set) {
    spdlog::warn("{}: cannot allow a pause of {}: {}", label(), vmigrate::to_string(limit),
                 set.error().message);
    return false;
  }
  downtime_limit_ = limit;
  return true;
}

void SourceMigration::watch_for_stall(const hypervisor::MemoryProgress& memory) {
  if (stall_dealt_with_) return;
  const auto now = edges_.clock.now();
  const bool may_stop = is_largest_limit(downtime_limit_, terms());
  const auto verdict = convergence_.judge(memory.pass, memory.remaining, may_stop, now);
  if (verdict.slowdown > slowdown_) slow_down(verdict.slowdown);
  const bool late = options_.finish_by && now - started_ >= *options_.finish_by;
  if (!verdict.hopeless && !late) return;
  on_stall(fmt::format("{}; {} are left{}{}", rates_in_words(), vmigrate::to_string(memory.remaining),
                       late ? fmt::format(" after {}", vmigrate::to_string(*options_.finish_by)) : "",
                       most_slowed_ > Percent{0}
                           ? fmt::format(", although it was slowed by {}", vmigrate::to_string(most_slowed_))
                           : ""));
}

std::string SourceMigration::rates_in_words() const {
  const auto& progress = report_.progress;
  return fmt::format("{} changes {} of memory a second and {} a second are moved", record_.vm_name,
                     vmigrate::to_string(Bytes{progress.dirty_rate.bytes_per_second}),
                     vmigrate::to_string(Bytes{progress.guest_rate.bytes_per_second}));
}

void SourceMigration::slow_down(Percent slowdown) {
  slowdown_ = slowdown;
  if (!move_) return;
  spdlog::info("{}: slowing the VM by {}: {}", label(), vmigrate::to_string(slowdown), rates_in_words());
  if (const auto set = move_->set_slowdown(slowdown); !set)
    spdlog::warn("{}: cannot slow the VM: {}", label(), set.error().message);
}

void SourceMigration::show_slowdown(Percent slowdown) {
  auto& progress = report_.progress;
  most_slowed_ = std::max(most_slowed_, slowdown);
  if (slowdown == progress.slowdown) return;
  progress.slowdown = slowdown;
  progress.slowdown_reason = slowdown > Percent{0} ? rates_in_words() : "";
}

void SourceMigration::on_stall(const std::string& why) {
  // QEMU takes 2,000 s at most. It stops the VM at once and moves the rest.
  constexpr Milliseconds unlimited = std::chrono::minutes(30);
  spdlog::warn("{}: {}", label(), why);
  if (options_.on_stall == pacing::OnStall::pause) {
    stall_dealt_with_ = set_downtime_limit(unlimited);
    return;
  }
  stall_dealt_with_ = true;
  apply(
      source::Failed{{ErrorCode::not_converging, why,
                      "allow a longer pause (--max-pause) or a pause as long as it takes (--on-stall pause), "
                      "let it be slowed further (--max-slowdown), or move it when it does less"}});
}

}  // namespace vmigrate::migration
