#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "relay.hpp"
#include "two_hosts.hpp"

namespace vmigrate::peer {

/// How often a session said that it stalls, and that it goes on.
struct Stalls {
  std::atomic<int> begun = 0;
  std::atomic<int> over = 0;
};

/// Two hosts, and a session between them through a relay that breaks the network.
class RelayedSession : public TwoHosts {
 protected:
  /// Begins it, with both sides started.
  void join() {
    listen();
    relay_ = std::make_unique<Relay>(port());
    auto session = TlsDialer(dialling(relay_->port())).dial("hostb");
    ASSERT_TRUE(session) << session.error().message;
    here_ = std::move(*session);
    there_ = accepted();
    start(*here_, heard_here_, stalls_here_);
    start(*there_, heard_there_, stalls_there_);
  }

  /// Megabyte after megabyte, from here.
  std::thread write_until_it_fails() {
    return std::thread([this] {
      const auto bytes = ByteBuffer(kMebibyte);
      while (here_->bulk_sender().write(bytes)) {
      }
    });
  }

  Recorder heard_here_;
  Recorder heard_there_;
  Stalls stalls_here_;
  Stalls stalls_there_;
  std::unique_ptr<Relay> relay_;
  std::unique_ptr<Session> here_;
  std::unique_ptr<Session> there_;

 private:
  static void start(Session& session, Recorder& heard, Stalls& stalls) {
    auto events = heard.events();
    events.stalled = [&stalls](const std::optional<Error>& why) { ++(why ? stalls.begun : stalls.over); };
    session.start(std::move(events));
  }
};

}  // namespace vmigrate::peer
