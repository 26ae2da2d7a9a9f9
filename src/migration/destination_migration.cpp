#include "migration/destination_migration.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/audit_entries.hpp"

namespace vmigrate::migration {
namespace {

namespace destination = handover::destination;
using hypervisor::DomainState;

std::uint64_t microseconds(std::optional<MonotonicTime> from, std::optional<MonotonicTime> to) {
  if (!from || !to) return 0;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(*to - *from).count());
}

/// Why it does not run here, of a state that knows.
const Error* reason(const destination::State& state) {
  if (const auto* refusing = std::get_if<destination::Refusing>(&state)) return &refusing->why;
  if (const auto* refused = std::get_if<destination::Refused>(&state)) return &refused->why;
  if (const auto* doubted = std::get_if<destination::InDoubt>(&state)) return &doubted->why;
  return nullptr;
}

handover::Record first_record(const Offer& offer) {
  handover::Record record;
  record.migration = offer.migration;
  record.role = handover::Role::destination;
  record.vm = offer.domain.id;
  record.vm_name = offer.domain.name;
  record.peer = offer.source_host;
  record.vmm = offer.domain.vmm;
  record.runs = offer.domain.state == DomainState::running;
  return record;
}

}  // namespace

DestinationMigration::DestinationMigration(Edges edges, Offer offer, std::optional<Claims::Claim> claim,
                                           PeerLink& link, std::shared_ptr<Mailbox> mailbox, Publish publish)
    : edges_(std::move(edges)),
      offer_(std::move(offer)),
      record_(first_record(offer_)),
      publish_(std::move(publish)),
      claim_(std::move(claim)),
      mailbox_(std::move(mailbox)),
      link_(&link),
      link_usable_(true) {
  introduce();
}

DestinationMigration::DestinationMigration(Edges edges, const handover::Record& record,
                                           destination::Event event, std::optional<Claims::Claim> claim,
                                           Publish publish)
    : edges_(std::move(edges)),
      record_(record),
      recovered_by_(std::move(event)),
      publish_(std::move(publish)),
      claim_(std::move(claim)),
      mailbox_(std::make_shared<Mailbox>(edges_.threads)),
      link_(nullptr),
      link_usable_(false) {
  introduce();
}

DestinationMigration::~DestinationMigration() {
  mailbox_->close();
  // The stream's threads may be waiting for the wire.
  if (link_ != nullptr) link_->close();
}

void DestinationMigration::abandon() {
  mailbox_->post([this] { abandoned_ = true; });
}

void DestinationMigration::run() {
  if (recovered_by_) {
    begun_ = true;
    auto state = handover::destination_state(record_);
    state_ = state ? *state : destination::InDoubt{state.error()};
    apply(*recovered_by_);
  } else {
    auto findings = check();
    if (!findings) return answer_offer({hypervisor::finding_of(findings.error())});
    if (!findings->empty() || offer_.check_only) return answer_offer(std::move(*findings));
    if (auto reserved = reserve(); !reserved) {
      return answer_offer({hypervisor::finding_of(reserved.error())});
    }
    link_stalls_.set_window(edges_.timing.reconnect);
    link_->set_reconnect_window(edges_.timing.reconnect);
    answer_offer({});
  }
  const auto over = [this] {
    // A VM that runs here needs nothing more: its record answers a source that asks.
    const bool settled = std::holds_alternative<destination::Running>(state_) && !link_usable_;
    return abandoned_ || ((settled || destination::is_final(state_)) && !unwritten_);
  };
  while (!over()) {
    mailbox_->handle_one(retry_at_.value_or(MonotonicTime::max()));
    if (retry_at_ && *retry_at_ <= edges_.clock.now()) {
      retry_at_.reset();
      std::exchange(retry_, nullptr)();
    }
  }
}

// --- The offer
// ----------------------------------------------------------------------------------------------

Result<std::vector<hypervisor::Finding>> DestinationMigration::check() {
  auto findings = edges_.hypervisor.check_incoming(offer_.domain);
  const auto expected = handover::runtime_directory_of(edges_.runtime_folder, offer_.migration);
  if (findings && offer_.runtime_directory != expected) {
    findings->push_back({ErrorCode::refused,
                         fmt::format("{} keeps a migration's sockets in {}, and {} in {}", edges_.host,
                                     expected, record_.peer, offer_.runtime_directory),
                         "set paths.runtime to the same folder in migrated.toml on both hosts"});
  }
  return findings;
}

Result<> DestinationMigration::reserve() {
  const auto& peer = link_->session().peer();
  if (auto recorded = edges_.audit->record(of_offer(offer_, "accepted", peer, edges_.host)); !recorded) {
    return fail(recorded.error().in(edges_.host));
  }
  if (offer_.audit_head)
    edges_.audit->note(head_of(peer, *offer_.audit_head, offer_.migration.text()), audit::Keep::every);
  const auto before = hypervisor().state(record_.vm);
  if (!before) return fail(before.error());
  // Whoever started it since it was looked for would find it taken from under their hands.
  if (*before != DomainState::absent && *before != DomainState::shut_off) {
    return fail(ErrorCode::refused,
                fmt::format("{} is {} on {}", record_.vm_name, hypervisor::to_string(*before), edges_.host),
                "a VM runs on one host only: find out why there are two");
  }
  record_.keeps_definition = *before != DomainState::absent;
  const auto epoch = edges_.journal.last_epoch(record_.vm);
  if (!epoch) return fail(epoch.error());
  record_.epoch = *epoch + 1;
  if (auto written = record(state_); !written) return written;

  auto mailbox = mailbox_;
  hypervisor::IncomingEvents events;
  events.to_peer = [this, mailbox](ByteBuffer message) {
    mailbox->post([this, taken = std::move(message)] { link_->send_hypervisor_message(taken); });
  };
  events.prepared = [this, mailbox] { mailbox->post([this] { on_prepared(); }); };
  events.failed = [this, mailbox](const Error& why) {
    mailbox->post([this, why] { apply(destination::Failed{why.in(edges_.host)}); });
  };
  begun_ = true;
  auto directory = handover::RuntimeDirectory::create(offer_.runtime_directory);
  if (!directory) {
    apply(destination::Failed{directory.error()});
    return fail(directory.error());
  }
  directory_.emplace(std::move(*directory));
  auto move = edges_.hypervisor.begin_incoming({offer_.runtime_directory, offer_.domain}, std::move(events));
  if (!move) {
    apply(destination::Failed{move.error()});
    return fail(move.error());
  }
  move_ = std::move(*move);
  return {};
}

void DestinationMigration::answer_offer(std::vector<hypervisor::Finding> findings) {
  std::string reason;
  for (const auto& finding : findings) {
    spdlog::warn("{}: refused: {}", label(), finding.what);
    reason += (reason.empty() ? "" : "; ") + finding.what;
  }
  const bool accepted = findings.empty() && !offer_.check_only;
  // What has begun tells its end itself.
  if (!accepted && !begun_) {
    edges_.audit->note(of_offer(offer_, findings.empty() ? "possible" : "refused", link_->session().peer(),
                                edges_.host, reason),
                       audit::Keep::some);
  }
  link_->send(OfferAnswer{edges_.host, std::move(findings), edges_.memory,
                          accepted ? edges_.audit->head() : std::nullopt});
}

// --- What happens
// -------------------------------------------------------------------------------------------

void DestinationMigration::apply(const destination::Event& event) {
  const auto result = destination::step(state_, event);
  if (!result.legal) {
    spdlog::error("{}: '{}' cannot happen in state {}; ignored", label(), destination::name(event),
                  destination::name(state_));
    return;
  }
  if (result.next.index() != state_.index()) {
    spdlog::info("{}: {} -> {} ({})", label(), destination::name(state_), destination::name(result.next),
                 destination::name(event));
  }
  state_ = result.next;
  show_state();
  for (const auto action : result.actions) {
    if (auto done = act(action); !done) {
      spdlog::error("{}: {}", label(), done.error().message);
      unwritten_ = unwritten_ || handover::is_taken_back(record_);
      apply(destination::JournalFailed{done.error()});
      if (std::holds_alternative<destination::Running>(state_) || destination::is_final(state_))
        record_later();
      return;
    }
  }
}

void DestinationMigration::record_later() {
  // Until it is written, a source that has lost the verdict asks in vain.
  unwritten_ = true;
  // What was refused has left nothing here that a new try would have to wait for.
  if (destination::outcome(state_) == handover::Outcome::refused) claim_.reset();
  retry([this] {
    if (!record(state_)) record_later();
  });
}

void DestinationMigration::on_message(const ControlMessage& message) {
  if (!begun_) return;
  if (const auto* finish = std::get_if<Finish>(&message)) {
    on_finish(*finish);
  } else if (const auto* abort = std::get_if<Abort>(&message)) {
    apply(destination::AbortReceived{{ErrorCode::cancelled, abort->reason, ""}});
  } else if (std::holds_alternative<Confirmed>(message)) {
    apply(destination::ConfirmedReceived{});
  } else {
    spdlog::warn("{}: {} sent a message that is none for a destination; ignored", label(), record_.peer);
  }
}

void DestinationMigration::on_hypervisor_message(ByteBuffer bytes) {
  if (move_) move_->deliver(std::move(bytes));
}

void DestinationMigration::on_link_lost(const Error& why) {
  link_usable_ = false;
  link_stalls_.end(edges_.clock.now());
  if (begun_) apply(destination::LinkLost{why});
}

void DestinationMigration::on_link_stalled(const std::optional<Error>& why) {
  if (why)
    spdlog::warn("{}: the link to {} is lost, waiting for it: {}", label(), record_.peer, why->message);
  else
    spdlog::info("{}: the link to {} is back", label(), record_.peer);
  link_stalls_.note(edges_.clock.now(), why);
  report_.progress.link = link_stalls_.report(edges_.clock.now());
  publish_(report_);
}

void DestinationMigration::on_source_left(const SourceLeft& left) {
  const bool meant =
      left.host == record_.peer && (left.vm == record_.vm || left.migration == record_.migration);
  if (!meant) return;
  // At once: this migration's own thread may be loading.
  if (left.taken_back) taken_back_ = true;
  mailbox_->post([this] { source_has_left(); });
}

void DestinationMigration::source_has_left() {
  if (link_stalls_.is_stalled()) {
    on_link_lost(
        {ErrorCode::unreachable, fmt::format("the link was lost, and {} has given it up", record_.peer), ""});
  }
  if (!taken_back_ || !begun_) return;
  // What has been committed may have been resumed, by a call whose answer was lost.
  if (std::holds_alternative<destination::Started>(state_)) return resume_here();
  apply(destination::TakenBack{});
}

void DestinationMigration::on_prepared() {
  auto qemu = move_->connect_stream();
  if (!qemu) return apply(destination::Failed{qemu.error()});
  auto mailbox = mailbox_;
  stream_ = edges_.carriers.carry_in(
      std::move(*qemu), link_->session().bulk_receiver(), edges_.memory,
      IncomingCarrier::Events{
          [this, mailbox](ByteBuffer bytes) {
            mailbox->post([this, taken = std::move(bytes)] { link_->send_return_path(taken); });
          },
          [this, mailbox](std::uint64_t bytes) { mailbox->post([this, bytes] { say_taken(bytes); }); },
          [this, mailbox](const Error& why) { mailbox->post([this, why] { on_stream_failed(why); }); }});
  apply(destination::Prepared{});
}

void DestinationMigration::say_taken(std::uint64_t stream_bytes) {
  const auto& features = link_->session().peer().features;
  if (std::find(features.begin(), features.end(), kTakenFeature) != features.end())
    link_->send(Taken{stream_bytes});
}

void DestinationMigration::on_stream_failed(const Error& why) {
  // After Finish the stream has done its part, however its connection ends.
  if (std::holds_alternative<destination::Incoming>(state_)) apply(destination::Failed{why});
}

void DestinationMigration::on_finish(const Finish& finish) {
  if (finish.migration != record_.migration) return;
  if (!finish_received_) {
    finish_received_ = edges_.clock.now();
    finish_ = finish;
  }
  auto verified = stream_ ? stream_->verify(finish.digest, edges_.timing.drain)
                          : fail(ErrorCode::failed, "nothing of the VM's memory has arrived",
                                 "start the migration again");
  if (!arrived_) arrived_ = edges_.clock.now();
  apply(destination::FinishReceived(std::move(verified)));
}

// --- What it leads to
// ---------------------------------------------------------------------------------------

Result<> DestinationMigration::act(destination::Action action) {
  using enum destination::Action;
  switch (action) {
    case record: return this->record(state_);
    case finish: finish_incoming(); return {};
    case resume: resume_here(); return {};
    case discard: discard_here(); return {};
    case send_verdict: tell_source(); return {};
  }
  return {};
}

Result<> DestinationMigration::record(const destination::State& state) {
  if (std::holds_alternative<destination::Running>(state)) record_.result = as_text(hypervisor_answer_);
  if (const auto* why = reason(state)) record_.result = why->message;
  record_.state = destination::name(state);
  // It is read at the source, which has a journal of its own.
  if (const auto written = edges_.journal.write(record_); !written)
    return fail(written.error().in(edges_.host));
  unwritten_ = false;
  // A VM that runs here is this host's to move on, as soon as that is on record; one that is in doubt, a
  // person's to decide about.
  if (destination::outcome(state) == handover::Outcome::running ||
      destination::outcome(state) == handover::Outcome::in_doubt)
    claim_.reset();
  return {};
}

void DestinationMigration::tell_source() {
  if (!link_usable_ || link_ == nullptr) return;
  Verdict verdict;
  verdict.migration = record_.migration;
  verdict.outcome = destination::outcome(state_);
  if (const auto* why = reason(state_)) verdict.reason = why->message;
  verdict.answer = hypervisor_answer_;
  verdict.arrival_microseconds = microseconds(finish_received_, arrived_);
  verdict.load_microseconds = microseconds(arrived_, loaded_);
  verdict.start_microseconds = microseconds(loaded_, vcpus_run_);
  verdict.announcements = announcements_;
  link_->send(verdict);
}

void DestinationMigration::retry(std::function<void()> what) {
  retry_at_ = edges_.clock.now() + edges_.timing.retry;
  retry_ = std::move(what);
}

}  // namespace vmigrate::migration
