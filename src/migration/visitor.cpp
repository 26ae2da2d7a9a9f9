#include "migration/visitor.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/audit_entries.hpp"
#include "migration/no_longer_trusted.hpp"

namespace vmigrate::migration {

Visitor::Visitor(Edges edges, Claims& claims, Places& arriving, Places::Place place,
                 std::unique_ptr<peer::Session> session, std::string version, Publish publish,
                 TellOthers tell_others)
    : session_place_(std::move(place)),
      edges_(std::move(edges)),
      claims_(claims),
      arriving_vms_(arriving),
      version_(std::move(version)),
      publish_(std::move(publish)),
      tell_others_(std::move(tell_others)),
      link_(std::move(session), mailbox_,
            {[this](ControlMessage message) {
               if (destination_) return destination_->on_message(message);
               if (!first_) first_ = std::move(message);
             },
             [this](ByteBuffer bytes) {
               if (destination_) destination_->on_hypervisor_message(std::move(bytes));
             },
             [](const ByteBuffer&) {},
             [this](const Error& why) {
               lost_ = true;
               // It has sent what makes no sense; a link that goes down is nobody's request.
               if (!first_ && why.code == ErrorCode::refused)
                 note("connect", "refused", audit::Keep::some, why.message);
               if (destination_) destination_->on_link_lost(why);
             },
             [this](const std::optional<Error>& why) {
               if (destination_) destination_->on_link_stalled(why);
             }}) {
}

Visitor::~Visitor() {
  mailbox_->close();
}

void Visitor::abandon() {
  mailbox_->post([this] {
    abandoned_ = true;
    if (destination_) destination_->abandon();
  });
}

void Visitor::on_source_left(const SourceLeft& left) {
  if (auto* arriving = arriving_.load()) arriving->on_source_left(left);
}

void Visitor::cut_off() {
  mailbox_->post([this] {
    if (std::exchange(lost_, true)) return;
    link_.close();
    if (destination_) destination_->on_link_lost(no_longer_trusted(link_.session().peer().host, edges_.host));
  });
}

void Visitor::run() {
  const auto deadline = edges_.clock.now() + edges_.timing.question;
  while (!first_ && !lost_ && !abandoned_ && mailbox_->handle_one(deadline)) {
  }
  if (!first_ || abandoned_) return;
  std::visit([this](const auto& message) { serve(message); }, *first_);
}

void Visitor::serve(const Offer& offer) {
  // The name under which it is configured here is who it is, whatever it calls itself.
  Offer taken = offer;
  taken.source_host = link_.session().peer().host;
  // Whatever becomes of the offer: its source has left every session that it had about this VM.
  if (!offer.check_only) tell_others_({taken.source_host, offer.domain.id, {}});
  if (auto may = edges_.permission->may_receive(taken.domain, taken.source_host); !may)
    return refuse(offer, may.error());
  // For a place as for the VM: migrations that have just ended may still be clearing up.
  if (!offer.check_only) {
    auto place = arriving_vms_.take(taken.source_host, edges_.timing.claim);
    if (!place) {
      return refuse(offer,
                    {ErrorCode::refused, fmt::format("no more VMs can arrive on {} at a time", edges_.host),
                     "wait for some of them to have arrived"});
    }
    vm_place_.emplace(std::move(*place));
    session_place_.reset();
  }
  auto claim = offer.check_only ? std::nullopt : claims_.claim(offer.domain.id, edges_.timing.claim);
  if (!claim && !offer.check_only) {
    return refuse(
        offer, {ErrorCode::refused,
                fmt::format("a migration of {} is already under way on {}", offer.domain.name, edges_.host),
                "see: vmigrate list"});
  }
  destination_.emplace(edges_, std::move(taken), std::move(claim), link_, mailbox_, publish_);
  arriving_ = &*destination_;
  destination_->run();
}

void Visitor::refuse(const Offer& offer, const Error& why) {
  spdlog::warn("{}: refused: {}", short_form(offer.migration), why.message);
  edges_.audit->note(of_offer(offer, "refused", link_.session().peer(), edges_.host, why.message),
                     audit::Keep::some);
  link_.send(OfferAnswer{edges_.host, {hypervisor::finding_of(why)}, {}});
}

void Visitor::serve(const Ask& ask) {
  if (ask.taken_back)
    note("taken-back", "done", audit::Keep::some);
  else
    note("ask", "done", audit::Keep::first);
  tell_others_({link_.session().peer().host, {}, ask.migration, ask.taken_back});
  const auto verdict = verdict_of(ask.migration);
  if (ask.taken_back && verdict.outcome == handover::Outcome::running) {
    spdlog::error("{}: was decided to be {}'s, and has run on {}: see that it does not run here",
                  short_form(ask.migration), link_.session().peer().host, edges_.host);
  }
  link_.send(verdict);
}

void Visitor::serve(const Confirmed& confirmed) {
  note("confirm", "done", audit::Keep::first);
  tell_others_({link_.session().peer().host, {}, confirmed.migration});
  auto record = edges_.journal.find(confirmed.migration, handover::Role::destination);
  if (record && *record &&
      (*record)->state == handover::destination::name(handover::destination::Running{})) {
    (*record)->state = handover::destination::name(handover::destination::Done{});
    if (auto written = edges_.journal.write(**record); !written) spdlog::error("{}", written.error().message);
  }
  link_.send(verdict_of(confirmed.migration));
}

void Visitor::serve(const Ping&) {
  note("ping", "done", audit::Keep::first);
  link_.send(Ping{version_});
}

void Visitor::serve(const AskHeads& ask) {
  note("ask-heads", "done", audit::Keep::first);
  auto heads = edges_.audit->heads_of(link_.session().peer().host);
  // What was noted before is what it is to be held to.
  if (ask.audit_head)
    edges_.audit->note(head_of(link_.session().peer(), *ask.audit_head, ""), audit::Keep::some);
  if (!heads) {
    spdlog::error("{}", heads.error().message);
    return;  // no answer is not "nothing was noted"
  }
  link_.send(Heads{std::move(*heads)});
}

template <class Other>
void Visitor::serve(const Other&) {
  note("connect", "refused", audit::Keep::some, "it began with a message that does not begin anything");
  spdlog::warn("{} opened a session with a message that does not begin one", link_.session().peer().host);
}

void Visitor::note(std::string action, std::string result, audit::Keep keep, std::string reason) {
  edges_.audit->note(
      from_peer(std::move(action), std::move(result), link_.session().peer(), std::move(reason)), keep);
}

handover::Outcome Visitor::outcome_now(const handover::Record& record) {
  const auto outcome = handover::outcome_of(record);
  const auto newest = edges_.journal.last_epoch(record.vm);
  if (outcome != handover::Outcome::undecided || !newest || record.epoch >= *newest) return outcome;
  // The VM has moved on since, so this one came to an end that could not be written. What had been committed
  // has run here; what had not never will.
  return record.state == handover::destination::name(handover::destination::Started{})
             ? handover::Outcome::running
             : handover::Outcome::refused;
}

Verdict Visitor::verdict_of(const MigrationId& migration) {
  Verdict verdict;
  verdict.migration = migration;
  const auto record = edges_.journal.find(migration, handover::Role::destination);
  if (!record) {
    verdict.outcome = handover::Outcome::undecided;
    verdict.reason = record.error().message;
  } else if (!*record || (*record)->peer != link_.session().peer().host) {
    verdict.reason = fmt::format("{} has no record of migration {}", edges_.host, migration.text());
  } else {
    verdict.outcome = outcome_now(**record);
    if (verdict.outcome == handover::Outcome::running) {
      verdict.answer = copy_of(as_byte_view((*record)->result));
    } else {
      verdict.reason = (*record)->result;
    }
  }
  return verdict;
}

}  // namespace vmigrate::migration
