// The source's side of the link to the destination: what is done when it is lost, and comes back.
#include <algorithm>

#include <spdlog/spdlog.h>

#include "migration/no_longer_trusted.hpp"
#include "migration/source_migration.hpp"

namespace vmigrate::migration {

using hypervisor::DomainState;
namespace source = handover::source;

void SourceMigration::cut_off() {
  mailbox_->post([this] {
    if (!link_ || !link_usable_) return;
    link_->close();
    on_link_lost(no_longer_trusted(record_.peer, edges_.host));
  });
}

void SourceMigration::on_link_lost(const Error& why) {
  spdlog::warn("{}: {}", label(), why.message);
  link_usable_ = false;
  link_stalls_.end(edges_.clock.now());
  note_link();
  publish();
  if (!begun_) {
    offer_answer_ = fail(why);
    return;
  }
  apply(source::LinkLost{why});
}

void SourceMigration::on_link_stalled(const std::optional<Error>& why) {
  if (why)
    spdlog::warn("{}: the link to {} is lost, trying again: {}", label(), record_.peer, why->message);
  else
    spdlog::info("{}: the link to {} is back", label(), record_.peer);
  link_stalls_.note(edges_.clock.now(), why);
  note_link();
  publish();
}

void SourceMigration::set_reconnect_window(Milliseconds window) {
  link_stalls_.set_window(window);
  if (link_) link_->set_reconnect_window(window);
}

/// While it stands still nothing is gained by waiting longer than a pause may be. Not much less either: the
/// last pages are on their way, and to take the VM back costs as much as a short loss.
Milliseconds SourceMigration::window_while_stopped() const {
  constexpr int kPauses = 10;
  return std::min({edges_.timing.reconnect, edges_.timing.reconnect_stopped, kPauses * options_.max_pause});
}

void SourceMigration::look_whether_it_stopped() {
  if (window_shortened_ || !record_.runs) return;
  const auto state = hypervisor().state(record_.vm);
  if (!state || *state != DomainState::paused) return;
  spdlog::warn("{}: the VM stands still while the link is lost", label());
  window_shortened_ = true;
  set_reconnect_window(window_while_stopped());
}

void SourceMigration::note_link() {
  report_.progress.link = link_stalls_.report(edges_.clock.now());
}

}  // namespace vmigrate::migration
