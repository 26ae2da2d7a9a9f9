#pragma once

#include <string>
#include <vector>

#include "peer/endpoint.hpp"
#include "peer/reconnector.hpp"
#include "peer/tcp.hpp"

namespace vmigrate::peer {

/// One connection to a host, which has proved that it is that host.
Result<TlsStream> connect_to(const Endpoint& endpoint, const std::string& name, const HostAddress& address,
                             Traffic traffic, MonotonicTime deadline);

/// The error as it is told about a host.
Error about(const std::string& name, const HostAddress& address, const Error& error);

/// The dialling side of a session's connections.
class Redialler : public Reconnector {
 public:
  struct Membership {
    std::string session;
    std::string secret;
    int bulk_connections = 0;
  };
  Redialler(Endpoint endpoint, std::string host, HostAddress address, Membership membership);

  int bulk_connections() const { return membership_.bulk_connections; }

 protected:
  Result<Joined> join(int connection, std::uint64_t received, std::optional<MonotonicTime> lost) override;

 private:
  MonotonicTime attempt_deadline(std::optional<MonotonicTime> lost);
  Result<Joined> join_on(TlsStream stream, MonotonicTime until, int connection, std::uint64_t received);

  const Endpoint endpoint_;
  const std::string host_;
  const HostAddress address_;
  const Membership membership_;
  std::vector<std::uint32_t> attempts_;  // by connection, each its thread's own
};

}  // namespace vmigrate::peer
