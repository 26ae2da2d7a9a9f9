#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "peer/endpoint.hpp"
#include "peer/frame.hpp"
#include "peer/greetings.hpp"
#include "peer/reception.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// Takes connections from other daemons on one port. Each is greeted within Patience::opening.
class Listener {
 public:
  /// `accept` is called for each new session, from threads of the listener's.
  static Result<std::unique_ptr<Listener>> create(Endpoint endpoint, const std::string& address,
                                                  std::uint16_t port, AcceptHandler accept);
  /// No more sessions; those that stand are not touched.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// The one that the system chose, where 0 was asked for.
  std::uint16_t port() const;

 private:
  Listener(Endpoint endpoint, FileDescriptor socket, AcceptHandler accept);
  void run();
  std::optional<TurnedAway> greet(FileDescriptor socket);
  Result<> greet_as(TlsStream stream, const std::string& host, const std::string& address,
                    MonotonicTime deadline);
  Result<> begin_session(TlsStream stream, const wire::Hello& hello, PeerIdentity peer,
                         MonotonicTime deadline);
  Result<> join_session(TlsStream stream, const wire::Join& join, const std::string& host,
                        MonotonicTime deadline);
  std::shared_ptr<Reception> reception_of(const std::string& session);
  void reap();
  void tell(const TurnedAway& what) const;

  const Endpoint endpoint_;
  const FileDescriptor socket_;
  const FileDescriptor wake_;
  const AcceptHandler accept_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Reception>> open_;  // by session
  Greetings greetings_;
  std::thread thread_;
};

}  // namespace vmigrate::peer
