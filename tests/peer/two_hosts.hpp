#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/bounded_queue.hpp"
#include "certificate_authority.hpp"
#include "peer/dialer.hpp"
#include "peer/listener.hpp"
#include "peer/session.hpp"

namespace vmigrate {

/// For failing tests.
inline void PrintTo(const Error& error, std::ostream* out) {
  *out << to_string(error.code) << ": " << error.message << " (" << error.hint << ")";
}

}  // namespace vmigrate

namespace vmigrate::peer {

/// What a session tells, for a test to wait for.
class Recorder {
 public:
  SessionEvents events();
  /// The next message; an empty one of lane 0 when the session is over instead.
  std::pair<Lane, ByteBuffer> next_message();
  Error wait_for_end();
  bool has_ended() const { return state_->ended.used() > 0; }

 private:
  struct State {
    BoundedQueue<std::pair<Lane, ByteBuffer>> messages{SIZE_MAX};
    BoundedQueue<Error> ended{SIZE_MAX};
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Two daemons' ends on 127.0.0.1: "hosta" dials, "hostb" listens.
class TwoHosts : public testing::Test {
 protected:
  TwoHosts();
  ~TwoHosts() override;

  /// An endpoint with a good certificate for `name`, that knows nobody yet.
  Endpoint endpoint(const std::string& name) { return endpoint(authority_.issue(name)); }
  Endpoint endpoint(const CredentialFiles& files) const;
  /// hostb listens; it knows hosta unless `endpoint` says otherwise.
  void listen();
  void listen(Endpoint endpoint);
  void stop_listening() { listener_.reset(); }
  std::uint16_t port() const { return listener_->port(); }

  /// hosta's endpoint, with hostb at `port`.
  Endpoint dialling(std::uint16_t port);
  Result<std::unique_ptr<Session>> dial();
  /// The error of a dial that has to fail.
  static Error refused_dial(Endpoint endpoint, const std::string& host = "hostb");
  /// The next session that hostb accepted.
  std::unique_ptr<Session> accepted() { return std::move(*accepted_.pop()); }
  /// Whether hostb still takes sessions.
  void expect_still_listening();

  CertificateAuthority authority_;
  Patience patience_{.opening = Milliseconds(5'000),
                     .sign_of_life = Milliseconds(100),
                     .silence = Milliseconds(2'000),
                     .farewell = Milliseconds(300)};
  int bulk_connections_ = 2;

 private:
  BoundedQueue<std::unique_ptr<Session>> accepted_{SIZE_MAX};
  std::unique_ptr<Listener> listener_;
};

/// Bytes that differ from place to place, the same for the same seed.
ByteBuffer patterned_bytes(std::size_t size, std::uint32_t seed = 1);
ByteBuffer bytes_of(std::string_view text);

}  // namespace vmigrate::peer
