#include "peer/redialler.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "peer/frame.hpp"
#include "peer/membership.hpp"

namespace vmigrate::peer {

Result<TlsStream> connect_to(const Endpoint& endpoint, const std::string& name, const HostAddress& address,
                             Traffic traffic, MonotonicTime deadline) {
  auto socket = connect_tcp(address.host, address.port, deadline);
  if (!socket) return fail(socket.error());
  tune(*socket, traffic, endpoint.patience.silence);
  auto stream = TlsStream::handshake(std::move(*socket), endpoint.credentials, true, deadline);
  if (!stream) return fail(stream.error());
  const auto names = proven_names(stream->connection(), endpoint.credentials.paired());
  if (names.empty()) return fail(ErrorCode::not_allowed, "its certificate carries no name");
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    return fail(ErrorCode::not_allowed,
                fmt::format("its certificate is for {}, not for {}", fmt::join(names, ", "), name));
  }
  return stream;
}

Error about(const std::string& name, const HostAddress& address, const Error& error) {
  Error told = error.in(fmt::format("{} ({})", name, address.text()));
  if (!told.hint.empty()) return told;
  if (told.code == ErrorCode::not_allowed) {
    told.hint = fmt::format(
        "if the two were never paired, or one was set up anew: vmigrate pair {0}; with certificates of an "
        "authority, see [tls] and [peers] in migrated.toml here and on {0}; vmigrate doctor looks at them",
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

Redialler::Redialler(Endpoint endpoint, std::string host, HostAddress address, Membership membership)
    : endpoint_(std::move(endpoint)),
      host_(std::move(host)),
      address_(std::move(address)),
      membership_(std::move(membership)),
      attempts_(static_cast<std::size_t>(membership_.bulk_connections) + 1) {
}

MonotonicTime Redialler::attempt_deadline(std::optional<MonotonicTime> lost) {
  const auto now = std::chrono::steady_clock::now();
  if (!lost) return now + endpoint_.patience.opening;
  const std::lock_guard lock(mutex_);
  return std::min(now + endpoint_.patience.redial, deadline(lost).value_or(now));
}

Result<Joined> Redialler::join(int connection, std::uint64_t received, std::optional<MonotonicTime> lost) {
  const auto until = attempt_deadline(lost);
  const auto traffic = connection == 0 ? Traffic::messages : Traffic::bulk;
  auto stream = connect_to(endpoint_, host_, address_, traffic, until);
  if (!stream) {
    auto why = about(host_, address_, stream.error());
    // Whoever it is that answers there now: only the session's other end can say that it is over.
    why.code = ErrorCode::unreachable;
    return fail(std::move(why));
  }
  auto joined = join_on(std::move(*stream), until, connection, received);
  if (!joined) return fail(about(host_, address_, joined.error()));
  return joined;
}

Result<Joined> Redialler::join_on(TlsStream stream, MonotonicTime until, int connection,
                                  std::uint64_t received) {
  wire::Opening opening;
  auto& join = *opening.mutable_join();
  join.set_session(membership_.session);
  join.set_connection(static_cast<std::uint32_t>(connection));
  join.set_attempt(++attempts_[static_cast<std::size_t>(connection)]);
  join.set_received(received);
  if (auto proved = prove(join, membership_.secret, stream); !proved) return fail(proved.error());
  if (auto written = write_opening(stream, opening, until); !written) return fail(written.error());
  const auto answer = read_answer(stream, until);
  if (!answer) return fail(answer.error());
  if (!answer->has_joined()) return fail(ErrorCode::refused, "it does not answer a join with a word of it");
  return Joined{std::move(stream), answer->joined().received()};
}

}  // namespace vmigrate::peer
