#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "../daemon/folder.hpp"
#include "base/bounded_queue.hpp"
#include "peer/dialer.hpp"
#include "peer/listener.hpp"
#include "trust/own_identity.hpp"
#include "trust/paired_peers.hpp"
#include "trust/pairing.hpp"

namespace vmigrate::trust {

/// One daemon's part in pairing, with a port of its own on 127.0.0.1. It has no certificate but the one that
/// it makes, and knows nobody.
class UnpairedHost {
 public:
  explicit UnpairedHost(const std::string& name, Milliseconds lifetime = std::chrono::minutes(10));
  ~UnpairedHost();

  peer::Endpoint endpoint();
  std::uint16_t port() const { return listener_->port(); }
  /// Types `code` for the host `other`, at `port`.
  Result<PairedPeer> enter(const std::string& other, std::uint16_t port, const std::string& code);
  Result<std::unique_ptr<peer::Session>> dial(const std::string& host) {
    return peer::TlsDialer(endpoint()).dial(host);
  }
  /// Returns when all who had come are dealt with.
  void stop_listening() { listener_.reset(); }
  bool knows(const std::string& host) const { return peers->find(host).has_value(); }

  const std::string name;
  const TemporaryFolder folder;
  std::shared_ptr<PairedPeers> peers;
  std::shared_ptr<Pairing> pairing;
  std::unique_ptr<peer::Credentials> credentials;
  BoundedQueue<std::unique_ptr<peer::Session>> accepted{SIZE_MAX};
  BoundedQueue<peer::TurnedAway> turned_away{SIZE_MAX};

 private:
  std::unique_ptr<peer::Listener> listener_;
};

/// A host that shows a code, and waits.
class Invited {
 public:
  Invited(UnpairedHost& host, const std::string& other);
  ~Invited();
  const std::string& code() const { return invitation_->code(); }
  std::string wrong_code() const;
  /// How it ended.
  Result<PairedPeer> outcome();

 private:
  UnpairedHost& host_;
  std::shared_ptr<Pairing::Invitation> invitation_;
};

class TwoUnpairedHosts : public testing::Test {
 protected:
  void pair();
  /// Neither trusts the other, or anybody else.
  void expect_strangers() const;

  UnpairedHost a{"hosta"};
  UnpairedHost b{"hostb"};
};

}  // namespace vmigrate::trust
