// From the last bytes on: who runs the VM, and what that means for the copy here.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/source_migration.hpp"

namespace vmigrate::migration {
namespace {

namespace source = handover::source;
using hypervisor::DomainState;

}  // namespace

void SourceMigration::send_finish_call() {
  finish_sent_ = edges_.clock.now();
  if (!link_usable_ || !stream_) return ask_later();
  retry_at_ = decided_by_;
  retry_ = [this] {
    miss_decision();
    ask_later();
  };
  link_->send(
      Finish{record_.migration, finish_call_.message, stream_->digest(edges_.timing.drain), addresses_});
}

/// A decision that could not be recorded may be on disk all the same, where the error lies, as one of fsync
/// may. A restart would believe it, whatever has been heard since.
bool SourceMigration::keep_promise_on_record() {
  if (!decision_unsure_) return true;
  const auto written = record(state_);
  if (!written) spdlog::error("{}: {}", label(), written.error().message);
  decision_unsure_ = !written;
  return !decision_unsure_;
}

void SourceMigration::ask_later() {
  retry([this] { ask(); });
}

void SourceMigration::ask() {
  if (!std::holds_alternative<source::Relinquished>(state_)) return;
  (void)keep_promise_on_record();
  const auto answer = ask_peer(edges_, record_.peer, Ask{record_.migration}, edges_.timing.question);
  if (!answer) {
    doubt({ErrorCode::needs_attention,
           fmt::format("{} was handed over to {}, which cannot be asked whether it runs it: {}",
                       record_.vm_name, record_.peer, answer.error().message),
           fmt::format("bring {} back; only if neither it nor a host that it has moved the VM on to can ever "
                       "run it: vmigrate resolve {} --run-here "
                       "--i-have-fenced {}",
                       record_.peer, record_.vm_name, record_.peer)});
    return ask_later();
  }
  if (const auto* verdict = std::get_if<Verdict>(&*answer)) return on_verdict(*verdict);
  ask_later();
}

void SourceMigration::miss_decision() {
  if (!std::holds_alternative<source::Relinquished>(state_)) return;
  doubt({ErrorCode::needs_attention,
         fmt::format("{} was handed over to {}, which has not said for {} whether it runs it",
                     record_.vm_name, record_.peer, vmigrate::to_string(edges_.timing.decision)),
         fmt::format("look into the log of migrated and at the VM on {}; if it can never run there: vmigrate "
                     "resolve {} --run-here --i-have-fenced {}",
                     record_.peer, record_.vm_name, record_.peer)});
}

void SourceMigration::answer_hypervisor_loaded() {
  if (!move_) return apply(source::HypervisorEnded{});
  if (!destination_answer_.empty()) {
    move_->answer_finish({true, destination_answer_, ""});
    return;
  }
  // The destination runs the VM and has lost the words that the hypervisor here waits for. Any other words
  // would make it resume the VM, so its copy has to go first.
  if (runs_here_against_all_promises()) return retry([this] { answer_hypervisor_loaded(); });
  if (auto destroyed = hypervisor().destroy(record_.vm); !destroyed) {
    return retry([this] { answer_hypervisor_loaded(); });
  }
  move_->answer_finish({false, {}, "the VM runs on " + record_.peer});
}

void SourceMigration::reclaim_here() {
  const auto state = hypervisor().state(record_.vm);
  if (!state) {
    spdlog::warn("{}: cannot see the VM: {}", label(), state.error().message);
    return retry([this] { reclaim_here(); });
  }
  switch (*state) {
    case DomainState::unknown: return retry([this] { reclaim_here(); });
    case DomainState::running:
    case DomainState::paused:
    case DomainState::incoming:
      // Of one that is said to run, too: whether it does is only known once its process has answered.
      if (record_.runs || *state == DomainState::running) {
        if (const auto resumed = hypervisor().resume(record_.vm); !resumed) {
          spdlog::warn("{}: cannot resume the VM: {}", label(), resumed.error().message);
          return retry([this] { reclaim_here(); });
        }
      }
      warn_no_more();
      return apply(source::VmIsBack{});
    case DomainState::absent:
    case DomainState::shut_off:
    case DomainState::crashed:
      report_.vm_runs_on.clear();
      return apply(
          source::VmIsBack{fmt::format("{} ended on {} during the migration: it is {} now", record_.vm_name,
                                       edges_.host, hypervisor::to_string(*state))});
  }
}

bool SourceMigration::runs_here_against_all_promises() {
  // A relinquished copy stands still. One that runs is not it: somebody has started or brought it here since.
  const auto state = hypervisor().state(record_.vm);
  if (!state || *state != DomainState::running) return false;
  doubt({ErrorCode::needs_attention,
         fmt::format("{} was handed over to {} and runs on {}, where somebody has started it since",
                     record_.vm_name, record_.peer, edges_.host),
         fmt::format("see that it runs on one host only; then stop it on {}, or let it be", edges_.host)});
  return true;
}

void SourceMigration::remove_copy_here() {
  if (runs_here_against_all_promises()) return retry([this] { remove_copy_here(); });
  const auto removed = [this]() -> Result<> {
    if (auto destroyed = hypervisor().destroy(record_.vm); !destroyed) return destroyed;
    if (record_.keeps_definition) return {};
    return hypervisor().undefine(record_.vm);
  }();
  if (!removed) {
    spdlog::warn("{}: cannot remove the copy here: {}", label(), removed.error().message);
    return retry([this] { remove_copy_here(); });
  }
  apply(source::CopyRemoved{});
}

void SourceMigration::confirm() {
  if (link_usable_ && link_) {
    link_->send(Confirmed{record_.migration});
  } else {
    // For the destination's books only: it runs the VM whether it hears this or not.
    (void)ask_peer(edges_, record_.peer, Confirmed{record_.migration}, edges_.timing.question);
  }
}

void SourceMigration::await_refusal() {
  // The VM runs here already. Only once the destination has cleared up is the next try as good as the first.
  const auto deadline = edges_.clock.now() + edges_.timing.question;
  while (link_ && link_usable_ && !link_stalls_.is_stalled() && !verdict_seen_ && !abandoned_ &&
         mailbox_->handle_one(deadline)) {
  }
}

/// The destination may be waiting for the link to come back. It need not, once it is asked anew; and if it
/// cannot be, it does so when it has waited long enough. Or it may be in doubt, as this host was until an
/// administrator decided; if it cannot be told, it stays so.
void SourceMigration::tell_that_it_is_over() {
  const auto answer = ask_peer(edges_, record_.peer, Ask{record_.migration, true}, edges_.timing.question);
  if (!answer && resolved_) {
    spdlog::warn(
        "{}: {} could not be told that it has lost the VM: end what is left of it there before that host "
        "is connected again ({})",
        label(), record_.peer, answer.error().message);
  }
  const auto* verdict = answer ? std::get_if<Verdict>(&*answer) : nullptr;
  if (verdict != nullptr && verdict->outcome == handover::Outcome::running)
    spdlog::error("{}: has run on {}, by its record: see that it does not run there", label(), record_.peer);
}

}  // namespace vmigrate::migration
