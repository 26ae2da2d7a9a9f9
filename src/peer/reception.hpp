#pragma once

#include <functional>
#include <string>
#include <vector>

#include "peer/limits.hpp"
#include "peer/reconnector.hpp"
#include "vmigrate/peer.pb.h"

namespace vmigrate::peer {

/// The listening side of a session's connections: takes those that prove that they belong to it, and hands
/// each to the thread that waits for it, which answers. So what it says to have received is what it has: the
/// connection in whose place the new one comes is not read from any more.
class Reception : public Reconnector {
 public:
  /// Of a session with `host`, and so many bulk connections.
  Reception(std::string host, int bulk_connections, Patience patience);

  const std::string& session() const { return session_; }
  const std::string& secret() const { return secret_; }
  int bulk_connections() const { return static_cast<int>(seats_.size()) - 1; }

  /// `arrived` is called when one has come in the place of this connection; must not block, nor call back.
  void attach(int connection, std::function<void()> arrived);
  void detach(int connection);

  /// A connection of `host` wants to join. What is refused is still there to be told so.
  Result<> admit(const wire::Join& join, TlsStream& stream, const std::string& host);

 protected:
  Result<Joined> join(int connection, std::uint64_t received, std::optional<MonotonicTime> lost) override;

 private:
  /// What there is for one connection.
  struct Seat {
    std::uint32_t attempts = 0;
    std::optional<Joined> waiting;
    std::function<void()> arrived;
  };
  Result<Joined> await(Seat& seat, std::optional<MonotonicTime> lost);

  const std::string host_;
  const Patience patience_;
  const std::string session_;
  const std::string secret_;
  std::vector<Seat> seats_;
};

}  // namespace vmigrate::peer
