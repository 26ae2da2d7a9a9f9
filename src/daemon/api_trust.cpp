// Whom this host trusts: who may ask for what here, and which other hosts are known.
#include <optional>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "daemon/api.hpp"
#include "daemon/known_hosts.hpp"
#include "trust/pairing_code.hpp"

namespace vmigrate::daemon {
namespace {

/// What [allow] calls it; nothing for what anybody may ask who can ask at all.
std::optional<trust::Verb> verb_of(const control::Request& request) {
  using trust::Verb;
  switch (request.request_case()) {
    case control::Request::kStart: return Verb::start;
    case control::Request::kCancel: return Verb::cancel;
    case control::Request::kResolve: return Verb::resolve;
    case control::Request::kPair:
    case control::Request::kRemovePeer: return Verb::pair;
    case control::Request::kCheck:
    case control::Request::kDoctor: return Verb::check;
    case control::Request::kList:
    case control::Request::kShow:
    case control::Request::kWatch:
    case control::Request::kHistory:
    case control::Request::kHosts:
    case control::Request::kPeers:
    case control::Request::kAudit:
    case control::Request::kAuditVerify: return Verb::watch;
    case control::Request::kVersion:
    case control::Request::REQUEST_NOT_SET: return std::nullopt;
  }
  // Nobody's but root's until it is known what it does.
  return Verb::pair;
}

control::Peer to_proto(const trust::PairedPeer& peer) {
  control::Peer message;
  message.set_name(peer.name);
  message.set_address(peer.address.text());
  message.set_paired(true);
  message.set_key(peer.key.digits);
  message.set_paired_unix_ms(peer.paired_unix_ms);
  message.set_paired_by(peer.paired_by);
  return message;
}

control::Response paired_response(const trust::PairedPeer& peer, const std::string& this_host) {
  control::Response response;
  response.mutable_pairing()->set_this_host(this_host);
  *response.mutable_pairing()->mutable_peer() = to_proto(peer);
  return response;
}

}  // namespace

Result<> permits(const Configuration& configuration, const control::Request& request,
                 const control::Caller& caller) {
  const auto verb = verb_of(request);
  if (!verb) return {};
  return configuration.allow.permits(*verb, {caller.uid, caller.user, caller.groups},
                                     configuration.host.name);
}

/// What the other host is to be called, and where it is as far as anybody has said.
Result<trust::Pairing::Wish> Api::wish_of(const control::Pair& request, const control::Caller& caller) const {
  if (auto good = check_host_name(request.host()); !good) return fail(good.error());
  if (request.host() == parts_.configuration.host.name)
    return fail(ErrorCode::usage, fmt::format("{} is this host itself", request.host()));
  trust::Pairing::Wish wish{request.host(), {}, fmt::format("{} (uid {})", caller.user, caller.uid)};
  const auto& configured = parts_.configuration.peers;
  if (!request.address().empty()) {
    const auto address = parse_peer(request.address());
    if (!address) return fail(address.error());
    wish.address = {address->host, address->port};
  } else if (const auto peer = configured.find(request.host()); peer != configured.end()) {
    wish.address = {peer->second.host, peer->second.port};
  }
  return wish;
}

void Api::pair(const control::Pair& request, const control::Caller& caller,
               const std::shared_ptr<control::Responder>& responder) {
  auto wish = wish_of(request, caller);
  if (!wish) return responder->finish(error_response(wish.error(), ""));
  const auto before = parts_.trust.peers.find(request.host());
  const auto paired = request.code().empty() ? show_code(std::move(*wish), responder)
                                             : enter_code(std::move(*wish), request.code());
  // Whoever has the old key has no business here any more.
  if (paired && before && before->key != paired->key) parts_.manager.cut_off(paired->name);
  responder->finish(paired ? paired_response(*paired, parts_.configuration.host.name)
                           : error_response(paired.error(), ""));
}

Result<trust::PairedPeer> Api::show_code(trust::Pairing::Wish wish,
                                         const std::shared_ptr<control::Responder>& responder) {
  auto& pairing = parts_.trust.pairing;
  const auto invitation = pairing.invite(std::move(wish));
  if (!invitation) return fail(invitation.error());
  // A code that nobody looks at any more is a chance for others only.
  responder->on_disconnect([&pairing, open = *invitation] { pairing.withdraw(open); });
  control::Response response;
  auto* shown = response.mutable_pairing();
  shown->set_code(trust::for_people((*invitation)->code()));
  shown->set_lifetime_ms(static_cast<std::uint32_t>(pairing.lifetime().count()));
  shown->set_this_host(parts_.configuration.host.name);
  responder->send(std::move(response));
  return pairing.wait(*invitation);
}

Result<trust::PairedPeer> Api::enter_code(trust::Pairing::Wish wish, const std::string& typed) {
  const auto code = trust::parse_pairing_code(typed);
  if (!code) return fail(code.error());
  if (!wish.address) wish.address = {wish.host, kDefaultPort};
  return parts_.trust.pairing.enter(parts_.trust.credentials, wish, *code);
}

Api::Answer Api::peers() const {
  control::Response response;
  auto* list = response.mutable_peers();
  for (const auto& peer : parts_.trust.peers.list()) *list->add_peers() = to_proto(peer);
  for (const auto& [name, host] : known_hosts(parts_.configuration, parts_.trust.peers)) {
    if (host.paired) continue;
    auto* peer = list->add_peers();
    peer->set_name(name);
    peer->set_address(host.address);
    peer->set_certified(!parts_.configuration.tls.ca.empty());
  }
  return response;
}

Api::Answer Api::remove_peer(const control::RemovePeer& request, const control::Caller& caller) {
  const auto& configuration = parts_.configuration;
  const bool configured = configuration.peers.contains(request.host());
  // Its certificate would let it in again at once.
  if (configured && !configuration.tls.ca.empty()) {
    return fail(
        ErrorCode::refused,
        fmt::format("{} is trusted for its certificate, and configured in migrated.toml", request.host()),
        fmt::format("take [peers.{}] out there, and: systemctl restart migrated", request.host()));
  }
  control::Response response;
  for (const auto& peer : parts_.trust.peers.list()) {
    if (peer.name == request.host()) *response.mutable_peers()->add_peers() = to_proto(peer);
  }
  const auto removed = parts_.trust.peers.remove(request.host());
  if (!removed) return fail(removed.error());
  if (!*removed) {
    return fail(ErrorCode::not_found,
                fmt::format("{} is not paired with {}", request.host(), configuration.host.name),
                "see: vmigrate peers list");
  }
  spdlog::warn("{} is trusted no more, as {} (uid {}) has said", request.host(), caller.user, caller.uid);
  parts_.manager.cut_off(request.host());
  return response;
}

}  // namespace vmigrate::daemon
