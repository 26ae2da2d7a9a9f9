// From Finish on: the VM that has arrived is run and announced here, or nothing is left of it.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "migration/destination_migration.hpp"

namespace vmigrate::migration {
namespace {

namespace destination = handover::destination;
using hypervisor::DomainState;

}  // namespace

void DestinationMigration::finish_incoming() {
  auto answer = move_->finish({false, finish_.call});
  loaded_ = edges_.clock.now();
  if (!answer.loaded) {
    return apply(destination::Failed{{ErrorCode::failed,
                                      fmt::format("{} could not load the VM: {}", edges_.host, answer.reason),
                                      answer.hint}});
  }
  hypervisor_answer_ = std::move(answer.message);
  apply(destination::Loaded{});
}

void DestinationMigration::resume_here() {
  const auto state = hypervisor().state(record_.vm);
  // That may have been said while this thread was loading, writing or asking. It is not for a peer to end
  // what runs.
  if (taken_back_ && (!state || *state != DomainState::running)) return apply(destination::TakenBack{});
  if (!state) {
    spdlog::warn("{}: cannot see the VM: {}", label(), state.error().message);
    return retry([this] { resume_here(); });
  }
  if (*state != DomainState::paused && *state != DomainState::running) {
    return apply(
        destination::VmMissing{{ErrorCode::needs_attention,
                                fmt::format("{} was committed to {} and is {} there", record_.vm_name,
                                            edges_.host, hypervisor::to_string(*state)),
                                ""}});
  }
  if (record_.runs && *state == DomainState::paused) {
    if (const auto resumed = hypervisor().resume(record_.vm); !resumed) {
      spdlog::warn("{}: cannot resume the VM: {}", label(), resumed.error().message);
      return retry([this] { resume_here(); });
    }
  }
  vcpus_run_ = edges_.clock.now();
  announce_here();
  apply(destination::VcpusRun{});
}

void DestinationMigration::announce_here() {
  const auto domain = edges_.hypervisor.describe(record_.vm.text());
  if (!domain) {
    spdlog::warn("{}: cannot announce the VM: {}", label(), domain.error().message);
    return;
  }
  std::vector<announce::Interface> interfaces;
  for (const auto& interface : domain->interfaces) {
    if (interface.kind != hypervisor::AttachmentKind::bridge) {
      announcements_.push_back(
          {interface.mac,
           0,
           {},
           fmt::format("{} interfaces are announced by QEMU alone", hypervisor::to_string(interface.kind))});
      continue;
    }
    std::vector<std::string> addresses;
    for (const auto& known : finish_.addresses) {
      if (known.mac == interface.mac) addresses = known.addresses;
    }
    interfaces.push_back(
        {interface.mac, interface.link, interface.tap, interface.vlan, std::move(addresses)});
  }
  const auto announced = edges_.announcer.announce(interfaces);
  for (std::size_t i = 0; i < announced.size() && i < interfaces.size(); ++i) {
    if (announced[i]) {
      announcements_.push_back({announced[i]->mac, announced[i]->frames, announced[i]->addresses, ""});
    } else {
      announcements_.push_back({interfaces[i].mac, 0, {}, announced[i].error().message});
    }
  }
}

void DestinationMigration::discard_here() {
  // As long as the journal says that it was committed, a restart runs it.
  if (unwritten_ && handover::is_taken_back(record_)) (void)record(state_);
  // A migration of this life of the daemon that has no move has made nothing that could be left.
  const auto gone = move_ ? move_->discard() : recovered_by_ ? discard_leftover() : Result<>();
  if (!gone) {
    spdlog::warn("{}: cannot make sure that nothing is left of it: {}", label(), gone.error().message);
    return retry([this] { discard_here(); });
  }
  apply(destination::Discarded{});
}

Result<> DestinationMigration::discard_leftover() {
  // An earlier life of this daemon reserved it. Unless it committed it, what is left of that is stopped.
  const auto state = hypervisor().state(record_.vm);
  if (!state) return fail(state.error());
  if (*state == DomainState::running && handover::is_taken_back(record_)) {
    return fail(ErrorCode::needs_attention,
                fmt::format("{} runs on {}, and was decided to be {}'s: end one of the two", record_.vm_name,
                            edges_.host, record_.peer));
  }
  if (*state == DomainState::running) {
    // Not this migration's doing, which never started it here; so it is none of its leftovers.
    spdlog::error(
        "{}: runs on {}, although this migration never started it here: see that it runs on one host only",
        label(), edges_.host);
    return {};
  }
  if (auto destroyed = hypervisor().destroy(record_.vm); !destroyed) return destroyed;
  if (record_.keeps_definition) return {};
  return hypervisor().undefine(record_.vm);
}

}  // namespace vmigrate::migration
