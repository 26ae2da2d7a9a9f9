#include "peer/dialer.hpp"

#include <optional>
#include <thread>

#include <fmt/format.h>

#include "peer/frame.hpp"
#include "peer/redialler.hpp"
#include "peer/tcp.hpp"
#include "peer/tls_session.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

std::optional<HostAddress> address_of(const Endpoint& endpoint, const std::string& host) {
  if (const auto found = endpoint.peers.find(host); found != endpoint.peers.end()) return found->second;
  const auto* paired = endpoint.credentials.paired();
  const auto known = paired != nullptr ? paired->find(host) : std::nullopt;
  if (!known) return std::nullopt;
  return known->address;
}

Result<wire::Welcome> greet(const Endpoint& endpoint, TlsStream& stream, MonotonicTime deadline) {
  wire::Opening opening;
  auto* hello = opening.mutable_hello();
  hello->set_protocol(endpoint.protocol);
  hello->set_oldest_protocol(endpoint.oldest_protocol);
  hello->set_software(endpoint.software);
  hello->mutable_features()->Assign(endpoint.features.begin(), endpoint.features.end());
  const int connections = connections_for(measured(stream.descriptor()).round_trip, buffer_limits(),
                                          std::thread::hardware_concurrency(), endpoint.bulk_connections);
  hello->set_bulk_connections(static_cast<std::uint32_t>(connections));
  if (auto written = write_opening(stream, opening, deadline); !written) return fail(written.error());
  const auto answer = read_answer(stream, deadline);
  if (!answer) return fail(answer.error());
  if (!answer->has_welcome()) return fail(ErrorCode::refused, "it does not answer a greeting with a welcome");
  const auto protocol = answer->welcome().protocol();
  if (protocol < endpoint.oldest_protocol || protocol > endpoint.protocol) {
    return fail(ErrorCode::refused,
                fmt::format("it chose protocol version {}, which was not offered", protocol));
  }
  const auto granted = answer->welcome().bulk_connections();
  if (granted < 1 || granted > static_cast<std::uint32_t>(connections)) {
    return fail(ErrorCode::refused,
                fmt::format("it wants {} bulk connections where {} were asked for", granted, connections));
  }
  return answer->welcome();
}

}  // namespace

Result<std::unique_ptr<Session>> TlsDialer::dial(const std::string& host) {
  const auto found = address_of(endpoint_, host);
  if (!found) {
    return fail(ErrorCode::not_found, fmt::format("no host '{}' is known here", host),
                fmt::format("see: vmigrate hosts; to make it known: vmigrate pair {}", host));
  }
  const HostAddress address = *found;
  const auto deadline = Clock::now() + endpoint_.patience.opening;
  auto stream = connect_to(endpoint_, host, address, Traffic::messages, deadline);
  if (!stream) return fail(about(host, address, stream.error()));
  if (has_expired(stream->connection()))
    return fail(about(host, address, {ErrorCode::not_allowed, "its certificate has expired", ""}));
  const auto welcome = greet(endpoint_, *stream, deadline);
  if (!welcome) return fail(about(host, address, welcome.error()));
  PeerIdentity peer{host,
                    address.text(),
                    {welcome->features().begin(), welcome->features().end()},
                    certificates_end(stream->connection())};
  auto redialler =
      std::make_shared<Redialler>(endpoint_, host, address,
                                  Redialler::Membership{welcome->session(), welcome->secret(),
                                                        static_cast<int>(welcome->bulk_connections())});
  return std::make_unique<TlsSession>(std::move(peer), std::move(*stream), endpoint_.patience,
                                      std::move(redialler));
}

}  // namespace vmigrate::peer
