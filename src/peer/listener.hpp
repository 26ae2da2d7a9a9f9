#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "peer/endpoint.hpp"
#include "peer/frame.hpp"
#include "peer/reception.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// Takes connections from other daemons on one port. Each is greeted on a short-lived thread of its own,
/// within Patience::opening; only so many at a time, so that strangers cost little.
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
  struct Greeting {
    std::thread thread;
    bool finished = false;
  };
  Listener(Endpoint endpoint, FileDescriptor socket, AcceptHandler accept);
  void run();
  void greet(FileDescriptor socket);
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
  std::list<Greeting> greetings_;
  std::map<std::string, std::weak_ptr<Reception>> open_;  // by session
  std::thread thread_;
};

}  // namespace vmigrate::peer
