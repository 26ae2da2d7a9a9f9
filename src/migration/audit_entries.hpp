#pragma once

#include <string>

#include "audit/entry.hpp"
#include "base/identifiers.hpp"
#include "hypervisor/domain.hpp"
#include "migration/messages.hpp"
#include "peer/session.hpp"

/// What migrations note in the audit trail. docs/audit.md lists the actions.
namespace vmigrate::migration {

struct StartOptions;

/// A migration that leaves `host` is about to begin.
audit::Entry accepted_start(const MigrationId& id, const hypervisor::DomainDescription& domain,
                            const StartOptions& options, const std::string& host);

/// Another host wants something.
audit::Entry from_peer(std::string action, std::string result, const peer::PeerIdentity& peer,
                       std::string reason = {});
/// It wants to know whether a VM could come to `host` ("check"), or to send it ("receive").
audit::Entry of_offer(const Offer& offer, std::string result, const peer::PeerIdentity& peer,
                      const std::string& host, std::string reason = {});
/// The newest entry of its own trail, as it said.
audit::Entry head_of(const peer::PeerIdentity& peer, const audit::Head& head, const std::string& migration);

}  // namespace vmigrate::migration
