#include "peer/dialer.hpp"

#include <algorithm>
#include <future>
#include <thread>

#include <fmt/format.h>

#include "base/thread_name.hpp"
#include "peer/frame.hpp"
#include "peer/tcp.hpp"
#include "peer/tls_session.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

/// One connection to a host, which has proved that it is that host.
Result<TlsStream> connect_to(const Endpoint& endpoint, const std::string& name, const HostAddress& address,
                             Traffic traffic, MonotonicTime deadline) {
  auto socket = connect_tcp(address.host, address.port, deadline);
  if (!socket) return fail(socket.error());
  tune(*socket, traffic, endpoint.patience.silence);
  auto stream = TlsStream::handshake(std::move(*socket), endpoint.credentials, true, deadline);
  if (!stream) return fail(stream.error());
  const auto names = peer_names(stream->connection());
  if (names.empty()) return fail(ErrorCode::not_allowed, "its certificate carries no name");
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    return fail(ErrorCode::not_allowed,
                fmt::format("its certificate is for {}, not for {}", fmt::join(names, ", "), name));
  }
  return stream;
}

/// The error as it is told about a host.
Error about(const std::string& name, const HostAddress& address, const Error& error) {
  Error told = error.in(fmt::format("{} ({}:{})", name, address.host, address.port));
  if (!told.hint.empty()) return told;
  if (told.code == ErrorCode::not_allowed) {
    told.hint = fmt::format(
        "see the [tls] and [peers] sections of migrated.toml here and on {}; vmigrate doctor "
        "looks at the certificates",
        name);
  } else if (told.code == ErrorCode::refused) {
    told.hint = fmt::format(
        "something answers there that is no migrated, or one of another version: install the "
        "same version on both hosts and see the address in [peers.{}] of migrated.toml",
        name);
  } else {
    told.hint =
        fmt::format("does migrated run on {}? does a firewall let port {} through?", name, address.port);
  }
  return told;
}

Result<TlsStream> join(const Endpoint& endpoint, const std::string& name, const HostAddress& address,
                       const std::string& session, const std::string& token) {
  const auto deadline = Clock::now() + endpoint.patience.opening;
  auto stream = connect_to(endpoint, name, address, Traffic::bulk, deadline);
  if (!stream) return stream;
  wire::Opening opening;
  opening.mutable_join()->set_session(session);
  opening.mutable_join()->set_token(token);
  auto joined =
      write_opening(*stream, opening, deadline).and_then([&] { return read_answer(*stream, deadline); });
  if (!joined) return fail(joined.error());
  return stream;
}

/// All at once: each takes three round trips.
Result<std::vector<TlsStream>> open_bulk(const Endpoint& endpoint, const std::string& name,
                                         const HostAddress& address, const wire::Welcome& welcome) {
  std::vector<std::future<Result<TlsStream>>> joining;
  for (const auto& token : welcome.bulk_tokens()) {
    joining.push_back(std::async(std::launch::async, [&] {
      name_this_thread("join");
      return join(endpoint, name, address, welcome.session(), token);
    }));
  }
  std::vector<TlsStream> streams;
  for (auto& each : joining) {
    auto stream = each.get();
    if (!stream) return fail(about(name, address, stream.error()));
    streams.push_back(std::move(*stream));
  }
  return streams;
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
  if (const int granted = answer->welcome().bulk_tokens_size(); granted < 1 || granted > connections) {
    return fail(ErrorCode::refused,
                fmt::format("it wants {} bulk connections where {} were asked for", granted, connections));
  }
  return answer->welcome();
}

}  // namespace

Result<std::unique_ptr<Session>> TlsDialer::dial(const std::string& host) {
  const auto found = endpoint_.peers.find(host);
  if (found == endpoint_.peers.end()) {
    return fail(ErrorCode::not_found, fmt::format("no host '{}' is configured here", host),
                "see: vmigrate hosts; hosts are the [peers.NAME] sections of migrated.toml");
  }
  const HostAddress address = found->second;
  const auto deadline = Clock::now() + endpoint_.patience.opening;
  auto stream = connect_to(endpoint_, host, address, Traffic::messages, deadline);
  if (!stream) return fail(about(host, address, stream.error()));
  const auto welcome = greet(endpoint_, *stream, deadline);
  if (!welcome) return fail(about(host, address, welcome.error()));
  PeerIdentity peer{host,
                    fmt::format("{}:{}", address.host, address.port),
                    {welcome->features().begin(), welcome->features().end()}};
  return std::make_unique<TlsSession>(std::move(peer), std::move(*stream), endpoint_.patience,
                                      [endpoint = endpoint_, host, address, welcome = *welcome] {
                                        return open_bulk(endpoint, host, address, welcome);
                                      });
}

}  // namespace vmigrate::peer
