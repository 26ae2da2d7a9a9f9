#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/units.hpp"
#include "peer/credentials.hpp"
#include "peer/tls_stream.hpp"
#include "trust/paired_peers.hpp"

namespace vmigrate::trust {

/// Two hosts learn each other's keys. One shows a code, on the other it is typed, and that one dials. Both
/// prove to each other by SPAKE2 that they have the code, and that nobody has put other keys between them:
/// docs/security.md.
///
/// An invitation is the code that a host shows, for one other host. There is one at a time. It ends with the
/// first host that is paired, with the third wrong code, with its lifetime, or when nobody waits any more.
class Pairing : public peer::PairingDesk {
 public:
  struct Self {
    std::string name;                                  ///< this host's
    std::uint16_t port = 0;                            ///< where it listens
    Milliseconds lifetime = std::chrono::minutes(10);  ///< of an invitation
    Milliseconds patience{5'000};                      ///< with the other host, once it has been dialled
  };
  static constexpr int kGuesses = 3;

  struct Wish {
    std::string host;                            ///< what the other one is called
    std::optional<peer::HostAddress> address{};  ///< where it is; needed to dial
    std::string asked_by{};
  };

  /// A host that is expected.
  class Invitation {
   public:
    const std::string& code() const { return code_; }

   private:
    friend class Pairing;
    Wish wish_;
    std::string code_;
    MonotonicTime ends_{};
    int guesses_ = kGuesses;
    std::optional<Result<PairedPeer>> outcome_;
  };

  Pairing(Self self, std::shared_ptr<PairedPeers> peers) : self_(std::move(self)), peers_(std::move(peers)) {}

  /// Refused while there is another.
  Result<std::shared_ptr<Invitation>> invite(Wish wish);
  /// Until it has ended.
  Result<PairedPeer> wait(const std::shared_ptr<Invitation>& invitation);
  void withdraw(const std::shared_ptr<Invitation>& invitation);

  /// Dials the host that shows the code.
  Result<PairedPeer> enter(const peer::Credentials& credentials, const Wish& wish, const std::string& code);

  Milliseconds lifetime() const { return self_.lifetime; }

  bool expects_somebody() const override;
  Result<> receive(peer::TlsStream stream, const std::string& address, MonotonicTime deadline) override;

 private:
  std::shared_ptr<Invitation> open_invitation() const;
  Result<> welcome(peer::TlsStream& stream, const std::string& address, MonotonicTime deadline);
  Result<> spend_guess(Invitation& invitation);
  Result<> decide(Invitation& invitation, bool right, PairedPeer peer);
  void end(const std::shared_ptr<Invitation>& invitation, Result<PairedPeer> outcome);

  const Self self_;
  const std::shared_ptr<PairedPeers> peers_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Invitation> open_;
};

}  // namespace vmigrate::trust
