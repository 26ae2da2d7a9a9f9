#include "migration/source_migration.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/audit_entries.hpp"
#include "migration/batch_opening.hpp"
#include "migration/certificates.hpp"

namespace vmigrate::migration {
namespace {

namespace source = handover::source;
using hypervisor::DomainState;

/// Several findings as one error: the first one's code and hint, all of them in words.
Error as_error(const std::vector<hypervisor::Finding>& findings) {
  Error error{findings.front().code, findings.front().what, findings.front().hint};
  for (std::size_t i = 1; i < findings.size(); ++i) error.message += "; " + findings[i].what;
  return error;
}

handover::Record first_record(const MigrationId& id, const hypervisor::DomainDescription& domain,
                              const StartOptions& options) {
  handover::Record record;
  record.migration = id;
  record.role = handover::Role::source;
  record.vm = domain.id;
  record.vm_name = domain.name;
  record.peer = options.host;
  record.runs = domain.state == DomainState::running;
  // A VMM's VM has no definition, but whatever starts it is left: no less a reason to veto that.
  record.keeps_definition = options.keep_source_definition || !domain.vmm.empty();
  record.vmm = domain.vmm;
  return record;
}

}  // namespace

SourceMigration::SourceMigration(Edges edges, const MigrationId& id, hypervisor::DomainDescription domain,
                                 StartOptions options, std::optional<Claims::Claim> claim, Publish publish)
    : edges_(std::move(edges)),
      options_(std::move(options)),
      domain_(std::move(domain)),
      record_(first_record(id, domain_, options_)),
      recovered_(false),
      publish_(std::move(publish)),
      claim_(std::move(claim)),
      convergence_(options_.max_slowdown),
      started_(edges_.clock.now()) {
  report_.progress.max_pause = options_.max_pause;
  report_.progress.memory_total = domain_.memory;
  report_.requested_by = options_.requested_by;
  report_.phase = Phase::check;
  introduce();
}

SourceMigration::SourceMigration(Edges edges, const handover::Record& record,
                                 std::optional<Claims::Claim> claim, Publish publish)
    : edges_(std::move(edges)),
      record_(record),
      recovered_(true),
      publish_(std::move(publish)),
      claim_(std::move(claim)),
      started_(edges_.clock.now()) {
  report_.phase = Phase::clean_up;
  introduce();
}

SourceMigration::~SourceMigration() {
  mailbox_->close();
  // The hypervisor may be waiting for the stream, and what is joined here for the hypervisor.
  if (backlog_) backlog_->let_go();
  // The stream's thread may be waiting for the wire.
  if (link_) link_->close();
}

void SourceMigration::cancel() {
  mailbox_->post([this] {
    spdlog::info("{}: cancel asked for in state {}", label(), source::name(state_));
    cancel_asked_ = true;
    if (begun_) apply(source::CancelRequested{});
  });
}

void SourceMigration::resolve() {
  mailbox_->post([this] {
    if (!std::holds_alternative<source::Relinquished>(state_)) return apply(source::Resolved{});
    apply(source::Resolved{});
    decision_unsure_ = std::holds_alternative<source::Relinquished>(state_);
    resolved_ = !decision_unsure_;
    if (decision_unsure_) {
      doubt({ErrorCode::needs_attention,
             fmt::format("the decision about {} could not be recorded on {}, and does not count",
                         record_.vm_name, edges_.host),
             fmt::format("look into the log of migrated on {}, mend what is wrong with its disk, and decide "
                         "again; until then let no host run {}",
                         edges_.host, record_.vm_name)});
    }
  });
}

void SourceMigration::abandon() {
  mailbox_->post([this] { abandoned_ = true; });
}

void SourceMigration::run() {
  if (recovered_) {
    begun_ = true;
    if (auto state = handover::source_state(record_)) {
      state_ = *state;
      resolved_ = std::holds_alternative<source::Reclaiming>(state_);
      decided_by_ = edges_.clock.now() + edges_.timing.decision;
      apply(source::Restarted{});
    } else {
      return doubt(state.error());
    }
  } else if (auto ready = set_out(); !ready) {
    return give_up(ready.error());
  }
  while (!abandoned_ && !source::is_final(state_)) {
    mailbox_->handle_one(retry_at_.value_or(MonotonicTime::max()));
    if (retry_at_ && *retry_at_ <= edges_.clock.now()) {
      retry_at_.reset();
      std::exchange(retry_, nullptr)();
    }
  }
  if (abandoned_) return;
  const bool reclaimed = std::holds_alternative<source::Reclaimed>(state_);
  if (reclaimed && !resolved_) await_refusal();
  conclude();
  if (reclaimed && (resolved_ || !verdict_seen_) && !abandoned_) tell_that_it_is_over();
}

// --- Setting out
// --------------------------------------------------------------------------------------------

Result<> SourceMigration::set_out() {
  if (auto checked = check_here(); !checked) return checked;
  if (auto reached = reach_destination(); !reached) return reached;
  const auto answer = offer();
  if (!answer) return fail(answer.error());
  if (!answer->findings.empty()) return fail(as_error(answer->findings));
  destination_memory_ = answer->memory;
  if (answer->audit_head) {
    edges_.audit->note(head_of(link_->session().peer(), *answer->audit_head, record_.migration.text()),
                       audit::Keep::every);
  }
  if (cancel_asked_) return fail(ErrorCode::cancelled, "cancelled on request");
  enter(Phase::prepare);
  return begin();
}

Result<> SourceMigration::check_here() {
  const auto findings = edges_.hypervisor.check_outgoing(domain_);
  if (!findings) return fail(findings.error());
  if (!findings->empty()) return fail(as_error(*findings));
  for (const auto& interface : bridged_interfaces()) {
    if (const auto observed = edges_.announcer.observe(interface); !observed) {
      spdlog::info("{}: not listening for addresses: {}", label(), observed.error().message);
    }
  }
  return {};
}

Result<> SourceMigration::reach_destination() {
  auto session = edges_.dialer.dial(record_.peer);
  if (!session) return fail(session.error());
  if (auto last = certificates_last((*session)->peer(), edges_.clock.wall(), options_.finish_by); !last)
    return last;
  backlog_ = std::make_shared<Backlog>((*session)->round_trip());
  link_ = std::make_unique<PeerLink>(
      std::move(*session), mailbox_,
      PeerLink::Events{[this](const ControlMessage& message) { on_message(message); },
                       [this](ByteBuffer bytes) {
                         if (move_) move_->deliver(std::move(bytes));
                       },
                       [this](const ByteBuffer& bytes) {
                         if (stream_) stream_->deliver_return(bytes);
                       },
                       [this](const Error& why) { on_link_lost(why); },
                       [this](const std::optional<Error>& why) { on_link_stalled(why); }, backlog_});
  set_reconnect_window(edges_.timing.reconnect);
  return {};
}

Result<OfferAnswer> SourceMigration::offer() {
  const auto epoch = edges_.journal.last_epoch(record_.vm);
  if (!epoch) return fail(epoch.error());
  record_.epoch = *epoch + 1;
  link_->send(Offer{record_.migration, false,
                    handover::runtime_directory_of(edges_.runtime_folder, record_.migration), edges_.host,
                    domain_, edges_.audit->head()});
  const auto deadline = edges_.clock.now() + edges_.timing.answer;
  while (!offer_answer_ && !cancel_asked_ && mailbox_->handle_one(deadline)) {
  }
  if (cancel_asked_) return fail(ErrorCode::cancelled, "cancelled on request");
  if (offer_answer_) return *offer_answer_;
  return fail(ErrorCode::unreachable,
              fmt::format("{} did not say within {} whether it takes {}", record_.peer,
                          vmigrate::to_string(edges_.timing.answer), record_.vm_name),
              fmt::format("look into the log of migrated on {}", record_.peer));
}

Result<> SourceMigration::begin() {
  hypervisor::OutgoingOptions options;
  options.runtime_directory = handover::runtime_directory_of(edges_.runtime_folder, record_.migration);
  auto directory = handover::RuntimeDirectory::create(options.runtime_directory);
  if (!directory) return fail(directory.error());
  directory_.emplace(std::move(*directory));
  if (auto written = record(state_); !written) return written;
  downtime_limit_ = downtime_limit(1, terms());
  options.max_pause = downtime_limit_;
  options.longest_pause = options_.max_pause;
  options.bandwidth = options_.bandwidth;
  options.keep_source_definition = options_.keep_source_definition;
  options.max_slowdown = options_.max_slowdown;
  // Letters are dropped once this is gone, whenever the hypervisor's threads come to speak.
  auto mailbox = mailbox_;
  hypervisor::OutgoingEvents events;
  events.to_peer = [this, mailbox](ByteBuffer message) {
    mailbox->post([this, taken = std::move(message)] { link_->send_hypervisor_message(taken); });
  };
  events.stream_connected = [this, mailbox](FileDescriptor qemu) {
    auto shared = std::make_shared<FileDescriptor>(std::move(qemu));
    mailbox->post([this, shared] { on_stream(std::move(*shared)); });
  };
  events.finish_requested = [this, mailbox](hypervisor::FinishCall call) {
    mailbox->post([this, taken = std::move(call)] { on_finish(taken); });
  };
  events.ended = [this, mailbox](const Result<>& result) {
    mailbox->post([this, result] { on_hypervisor_ended(result); });
  };
  auto move = edges_.hypervisor.begin_outgoing(domain_, options, std::move(events));
  begun_ = true;
  if (move) {
    move_ = std::move(*move);
    move_->start();
  } else {
    apply(source::HypervisorEnded{move.error()});
  }
  return {};
}

// --- What happens
// -------------------------------------------------------------------------------------------

void SourceMigration::apply(const source::Event& event) {
  const auto result = source::step(state_, event);
  if (!result.legal) {
    spdlog::error("{}: '{}' cannot happen in state {}; ignored", label(), source::name(event),
                  source::name(state_));
    return;
  }
  if (result.next.index() != state_.index()) {
    spdlog::info("{}: {} -> {} ({})", label(), source::name(state_), source::name(result.next),
                 source::name(event));
    decided_by_ = edges_.clock.now() + edges_.timing.decision;
  }
  state_ = result.next;
  // Nobody is shown what is not on record, if it has to be.
  bool shown = result.actions.empty() || result.actions.front() != source::Action::record;
  if (shown) show_state();
  for (const auto action : result.actions) {
    if (auto done = act(action); !done) {
      spdlog::error("{}: {}", label(), done.error().message);
      return apply(source::JournalFailed{done.error()});
    }
    if (!std::exchange(shown, true)) show_state();
  }
}

void SourceMigration::on_message(const ControlMessage& message) {
  if (const auto* answer = std::get_if<OfferAnswer>(&message)) {
    offer_answer_ = *answer;
  } else if (const auto* verdict = std::get_if<Verdict>(&message)) {
    if (verdict->migration == record_.migration) on_verdict(*verdict);
  } else {
    spdlog::warn("{}: {} sent a message that is none for a source; ignored", label(), record_.peer);
  }
}

void SourceMigration::on_stream(FileDescriptor qemu) {
  if (!move_) return;  // its end has overtaken it
  auto mailbox = mailbox_;
  stream_ = edges_.carriers.carry_out(
      std::move(qemu), link_->session().bulk_sender(), sizes_of_both(edges_.memory, destination_memory_),
      backlog_,
      OutgoingCarrier::Events{[this, mailbox](std::uint32_t pass) {
                                mailbox->post([this, pass] { raise_downtime_limit(pass); });
                              },
                              [this, mailbox] { mailbox->post([this] { on_vcpus_stopped(); }); },
                              [this, mailbox](const Error& why) {
                                mailbox->post([this, why] { apply(source::LinkLost{why}); });
                              }});
  progress_meter_.emplace(edges_.clock.now(), terms());
  watch_ = std::make_unique<ProgressWatch>(edges_.threads, *move_, edges_.timing.progress,
                                           [this, mailbox](const hypervisor::MemoryProgress& progress) {
                                             mailbox->post([this, progress] { on_progress(progress); });
                                           });
  apply(source::StreamStarted{});
  enter(Phase::memory);
}

void SourceMigration::on_vcpus_stopped() {
  if (watch_) watch_->stop();
  vcpus_stopped_ = edges_.clock.now();
  if (record_.runs && !std::exchange(window_shortened_, true)) set_reconnect_window(window_while_stopped());
  stop_observing();
  apply(source::VcpusStopped{});
  if (std::holds_alternative<source::Stopped>(state_)) enter(Phase::switchover);
}

std::vector<announce::Interface> SourceMigration::bridged_interfaces() const {
  std::vector<announce::Interface> result;
  for (const auto& interface : domain_.interfaces) {
    if (interface.kind != hypervisor::AttachmentKind::bridge) continue;
    result.push_back({interface.mac, interface.link, interface.tap, interface.vlan, {}});
  }
  return result;
}

void SourceMigration::stop_observing() {
  if (std::exchange(observing_ended_, true)) return;
  for (const auto& interface : bridged_interfaces()) {
    addresses_.push_back({interface.mac, edges_.announcer.addresses_of(interface.mac, interface.bridge)});
    // From here on nothing may draw the VM's traffic to this host: the other one is about to run it.
    edges_.announcer.forget(interface.mac);
  }
}

void SourceMigration::on_finish(const hypervisor::FinishCall& call) {
  if (!call.cancelled && !vcpus_stopped_) on_vcpus_stopped();
  finish_call_ = call;
  apply(source::FinishRequested{call.cancelled});
}

void SourceMigration::on_hypervisor_ended(const Result<>& result) {
  watch_.reset();
  move_.reset();
  apply(source::HypervisorEnded{result ? Error{} : result.error()});
}

void SourceMigration::on_verdict(const Verdict& verdict) {
  spdlog::info("{}: {} says {}{}{}", label(), record_.peer, handover::to_string(verdict.outcome),
               verdict.reason.empty() ? "" : ": ", verdict.reason);
  if (!begun_) {
    offer_answer_ = fail(ErrorCode::failed, verdict.reason);
    return;
  }
  // What is refused may run here, whatever a restart would read.
  if (verdict.outcome != handover::Outcome::refused && !keep_promise_on_record()) return ask_later();
  verdict_seen_ = true;
  destination_answer_ = verdict.answer;
  if (verdict.outcome == handover::Outcome::running && !runs_there_) {
    runs_there_ = edges_.clock.now();
    verdict_ = verdict;
  }
  apply(source::VerdictReceived{verdict.outcome, verdict.reason});
  if (verdict.outcome == handover::Outcome::undecided && edges_.clock.now() >= decided_by_) miss_decision();
}

// --- What it leads to
// ---------------------------------------------------------------------------------------

Result<> SourceMigration::act(source::Action action) {
  using enum source::Action;
  switch (action) {
    case record: return this->record(state_);
    case abort_hypervisor:
      if (stream_) stream_->cut_off();
      if (move_)
        move_->abort();
      else
        apply(source::HypervisorEnded{});
      return {};
    case send_abort:
      if (link_) link_->send(Abort{abort_reason()});
      return {};
    case send_finish: send_finish_call(); return {};
    case ask_destination: retry([this] { ask(); }); return {};
    case answer_loaded: answer_hypervisor_loaded(); return {};
    case answer_not_loaded:
      if (move_)
        move_->answer_finish({false, destination_answer_, abort_reason()});
      else
        apply(source::HypervisorEnded{});
      return {};
    case reclaim: reclaim_here(); return {};
    case remove_here: remove_copy_here(); return {};
    case send_confirmed: confirm(); return {};
  }
  return {};
}

Result<> SourceMigration::record(const source::State& state) {
  record_.state = source::name(state);
  return edges_.journal.write(record_).map_error([this](const Error& why) { return why.in(edges_.host); });
}

void SourceMigration::retry(std::function<void()> what) {
  // Soon at first: a destination that has to refuse before it can say so is done with that in a moment.
  constexpr int kSteps = 10;
  const auto now = edges_.clock.now();
  retry_at_ = last_try_ ? std::max(now, *last_try_ + pause_before_retry_) : now;
  last_try_ = retry_at_;
  pause_before_retry_ =
      std::min(edges_.timing.retry, std::max(edges_.timing.retry / kSteps, 2 * pause_before_retry_));
  retry_ = std::move(what);
}

}  // namespace vmigrate::migration
