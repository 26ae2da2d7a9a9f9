#include "migration/audit_entries.hpp"

#include <utility>

#include "migration/source_migration.hpp"

namespace vmigrate::migration {

audit::Entry accepted_start(const MigrationId& id, const hypervisor::DomainDescription& domain,
                            const StartOptions& options, const std::string& host) {
  audit::Entry entry;
  entry.action = "start";
  entry.result = "accepted";
  entry.user = options.requested_by;
  entry.vm = domain.name;
  entry.vm_id = domain.id.text();
  entry.migration = id.text();
  entry.source_host = host;
  entry.destination_host = options.host;
  return entry;
}

audit::Entry from_peer(std::string action, std::string result, const peer::PeerIdentity& peer,
                       std::string reason) {
  audit::Entry entry;
  entry.action = std::move(action);
  entry.result = std::move(result);
  entry.peer = peer.host;
  entry.address = peer.address;
  entry.reason = std::move(reason);
  return entry;
}

audit::Entry of_offer(const Offer& offer, std::string result, const peer::PeerIdentity& peer,
                      const std::string& host, std::string reason) {
  auto entry = from_peer(offer.check_only ? "check" : "receive", std::move(result), peer, std::move(reason));
  entry.vm = offer.domain.name;
  entry.vm_id = offer.domain.id.text();
  entry.migration = offer.migration.text();
  entry.source_host = peer.host;
  entry.destination_host = host;
  return entry;
}

audit::Entry head_of(const peer::PeerIdentity& peer, const audit::Head& head, const std::string& migration) {
  auto entry = from_peer("head", "noted", peer);
  entry.migration = migration;
  entry.head = head;
  return entry;
}

}  // namespace vmigrate::migration
