#include "daemon/report_proto.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/text.hpp"

namespace vmigrate::daemon {
namespace {

std::uint32_t milliseconds(Milliseconds duration) {
  constexpr Milliseconds::rep longest = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::clamp<Milliseconds::rep>(duration.count(), 0, longest));
}

std::uint64_t unix_milliseconds(std::chrono::system_clock::time_point time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<Milliseconds>(time.time_since_epoch()).count());
}

void fill(const migration::Progress& from, control::Progress* to) {
  to->set_memory_pass(from.memory_pass);
  to->set_memory_total(from.memory_total.count);
  to->set_memory_processed(from.memory_processed.count);
  to->set_memory_remaining(from.memory_remaining.count);
  to->set_guest_rate(from.guest_rate.bytes_per_second);
  to->set_wire_rate(from.wire_rate.bytes_per_second);
  to->set_dirty_rate(from.dirty_rate.bytes_per_second);
  to->set_converging(from.converging);
  to->set_forecast_left_ms(milliseconds(from.time_left.value_or(Milliseconds(0))));
  to->set_forecast_pause_ms(milliseconds(from.pause.value_or(Milliseconds(0))));
  to->set_max_pause_ms(milliseconds(from.max_pause));
  to->set_elapsed_ms(milliseconds(from.elapsed));
  to->set_slowdown_percent(from.slowdown.count);
  to->set_slowdown_reason(valid_utf8(from.slowdown_reason));
  to->set_link_stalls(from.link.stalls);
  to->set_link_stalled_ms(milliseconds(from.link.stalled));
  if (const auto& outage = from.link.outage) {
    to->mutable_link_outage()->set_so_far_ms(milliseconds(outage->so_far));
    to->mutable_link_outage()->set_window_ms(milliseconds(outage->window));
    to->mutable_link_outage()->set_why(valid_utf8(outage->why));
  }
}

void fill(const migration::Receipt& from, control::Receipt* to) {
  to->set_total_ms(milliseconds(from.total));
  to->set_pause_ms(milliseconds(from.pause));
  to->set_last_pages_ms(milliseconds(from.last_pages));
  to->set_arrival_ms(milliseconds(from.arrival));
  to->set_load_ms(milliseconds(from.load));
  to->set_start_ms(milliseconds(from.start));
  to->set_release_ms(milliseconds(from.release));
  to->set_guest_bytes(from.guest_bytes.count);
  to->set_wire_bytes(from.wire_bytes.count);
  to->set_passes(from.passes);
  to->set_slowdown_percent(from.slowdown.count);
  to->set_expected_pause_ms(milliseconds(from.expected_pause.value_or(Milliseconds(0))));
  to->set_link_stalls(from.link_stalls);
  to->set_link_stalled_ms(milliseconds(from.link_stalled));
  to->set_memory_verified(from.memory_verified);
  for (const auto& announced : from.announcements) {
    auto* item = to->add_announcements();
    item->set_mac(announced.mac);
    item->set_frames(announced.frames);
    item->set_problem(valid_utf8(announced.problem));
    for (const auto& address : announced.addresses) item->add_addresses(address);
  }
}

std::string whereabouts(const migration::Report& report) {
  if (report.vm_runs_on.empty()) return "it is not known where " + report.vm_name + " runs";
  return report.vm_name + " runs on " + report.vm_runs_on;
}

}  // namespace

control::Error to_proto(const Error& error, std::string vm_state) {
  control::Error to;
  to.set_code(static_cast<std::uint32_t>(error.code));
  to.set_message(valid_utf8(error.message));
  to.set_hint(valid_utf8(error.hint));
  to.set_vm_state(std::move(vm_state));
  return to;
}

control::Migration to_proto(const migration::Report& report) {
  control::Migration to;
  to.set_id(report.id.text());
  to.set_vm(report.vm_name);
  to.set_vm_id(report.vm.text());
  to.set_role(report.role == handover::Role::source ? control::SOURCE : control::DESTINATION);
  to.set_source_host(report.source_host);
  to.set_destination_host(report.destination_host);
  to.set_phase(static_cast<control::Phase>(report.phase));
  to.set_started_unix_ms(unix_milliseconds(report.started));
  if (report.ended) to.set_ended_unix_ms(unix_milliseconds(*report.ended));
  fill(report.progress, to.mutable_progress());
  if (report.receipt) fill(*report.receipt, to.mutable_receipt());
  if (report.error) *to.mutable_error() = to_proto(*report.error, whereabouts(report));
  to.set_requested_by(report.requested_by);
  to.set_vm_runs_on(report.vm_runs_on);
  to.set_vmm(report.vmm);
  return to;
}

}  // namespace vmigrate::daemon
