#include "trust/pairing.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "peer/tcp.hpp"
#include "trust/pairing_code.hpp"
#include "trust/pairing_messages.hpp"
#include "trust/spake2.hpp"

namespace vmigrate::trust {
namespace {

using Clock = std::chrono::steady_clock;

/// One side of it, as both sides put it into what they prove.
std::string identity(const std::string& name, const peer::KeyFingerprint& key) {
  return name + '\0' + key.digits;
}

/// What both ends of a TLS connection know, and nobody who has one connection with each of them can make
/// alike (RFC 9266).
Result<std::string> channel(peer::TlsStream& stream) {
  static constexpr std::string_view kLabel = "EXPORTER-Channel-Binding";
  std::string bytes(32, '\0');
  if (::SSL_export_keying_material(stream.connection(), reinterpret_cast<unsigned char*>(bytes.data()),
                                   bytes.size(), kLabel.data(), kLabel.size(), nullptr, 0, 1) != 1) {
    return fail(ErrorCode::failed, "OpenSSL: " + peer::openssl_error());
  }
  return std::string(peer::kPairingProtocol) + bytes;
}

struct Keys {
  peer::KeyFingerprint own;
  peer::KeyFingerprint others;
};
Keys keys_of(const peer::TlsStream& stream) {
  return {peer::fingerprint_of(::SSL_get_certificate(stream.connection())),
          peer::peer_key(stream.connection())};
}

PairedPeer as_peer(const std::string& name, peer::HostAddress address, peer::KeyFingerprint key,
                   const std::string& asked_by) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {name, std::move(address), std::move(key),
          static_cast<std::uint64_t>(std::chrono::duration_cast<Milliseconds>(now).count()), asked_by};
}

/// "10.0.0.2:40123" and the port where it listens.
peer::HostAddress address_from(const std::string& connection, std::uint16_t port) {
  auto host = connection.substr(0, connection.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {host, port};
}

constexpr const char* kNewCode =
    "begin anew, with a new code; if it happens again, somebody may be between the two hosts";

}  // namespace

// --- The side that shows the code
// -------------------------------------------------------------------------------------------

Result<std::shared_ptr<Pairing::Invitation>> Pairing::invite(Wish wish) {
  const std::lock_guard lock(mutex_);
  if (open_ && open_->ends_ > Clock::now()) {
    return fail(ErrorCode::refused,
                fmt::format("{} waits for {} to be paired already", self_.name, open_->wish_.host),
                "end that first (Ctrl-C), or wait until it has ended");
  }
  open_ = std::make_shared<Invitation>();
  open_->wish_ = std::move(wish);
  open_->code_ = new_pairing_code();
  open_->ends_ = Clock::now() + self_.lifetime;
  return open_;
}

Result<PairedPeer> Pairing::wait(const std::shared_ptr<Invitation>& invitation) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return invitation->outcome_.has_value(); };
  if (!changed_.wait_until(lock, invitation->ends_, over)) {
    invitation->outcome_ = fail(
        ErrorCode::cancelled,
        fmt::format("{} did not come within {}", invitation->wish_.host, vmigrate::to_string(self_.lifetime)),
        "begin anew: vmigrate pair " + invitation->wish_.host);
  }
  if (open_ == invitation) open_.reset();
  return *invitation->outcome_;
}

void Pairing::withdraw(const std::shared_ptr<Invitation>& invitation) {
  end(invitation, fail(ErrorCode::cancelled, "nobody waits for it any more"));
}

void Pairing::end(const std::shared_ptr<Invitation>& invitation, Result<PairedPeer> outcome) {
  const std::lock_guard lock(mutex_);
  if (!invitation->outcome_) invitation->outcome_ = std::move(outcome);
  if (open_ == invitation) open_.reset();
  changed_.notify_all();
}

std::shared_ptr<Pairing::Invitation> Pairing::open_invitation() const {
  const std::lock_guard lock(mutex_);
  return open_ && open_->ends_ > Clock::now() ? open_ : nullptr;
}

bool Pairing::expects_somebody() const {
  return open_invitation() != nullptr;
}

Result<> Pairing::receive(peer::TlsStream stream, const std::string& address, MonotonicTime deadline) {
  auto welcomed = welcome(stream, address, deadline);
  if (!welcomed) {
    spdlog::warn("{}: not paired: {}", address, welcomed.error().message);
    (void)write_pairing_refusal(stream, welcomed.error(), deadline);
  }
  stream.say_goodbye();
  return welcomed;
}

Result<> Pairing::welcome(peer::TlsStream& stream, const std::string& address, MonotonicTime deadline) {
  const auto invitation = open_invitation();
  const auto begin = read_pairing_begin(stream, deadline);
  if (!begin) return fail(begin.error());
  if (!invitation || begin->name != invitation->wish_.host) {
    return fail(ErrorCode::refused,
                fmt::format("{} does not wait for a host that is called {}", self_.name, begin->name),
                fmt::format("there: vmigrate pair {}", begin->name));
  }
  const auto bound = channel(stream);
  if (!bound) return fail(bound.error());
  const auto [own_key, key] = keys_of(stream);
  const auto secret = Spake2::with_secret(Spake2::Side::b, invitation->code_);
  const auto expected =
      secret.finish(begin->share, {identity(begin->name, key), identity(self_.name, own_key), *bound});
  if (!expected) return fail(expected.error());
  if (auto written = write_pairing_answer(stream, {self_.name, secret.share()}, deadline); !written)
    return written;
  // Until here the other side has learnt nothing. What it proves now is its guess.
  const auto proof = read_pairing_guess(stream, deadline);
  if (!proof) return fail(proof.error());
  if (auto spent = spend_guess(*invitation); !spent) return spent;
  const auto where = invitation->wish_.address.value_or(address_from(address, begin->port));
  const auto decided = decide(*invitation, same(expected->a, *proof),
                              as_peer(begin->name, where, key, invitation->wish_.asked_by));
  if (!decided) return decided;
  // It is paired by now, even if it does not learn that: it will say that it has failed, and be paired again.
  if (const auto told = write_pairing_proof(stream, expected->b, deadline); !told)
    spdlog::warn("{} is paired, but may not know it: {}", begin->name, told.error().message);
  return {};
}

/// Before it is looked at: of many that come at once, no more are looked at than there are guesses.
Result<> Pairing::spend_guess(Invitation& invitation) {
  const std::lock_guard lock(mutex_);
  if (invitation.outcome_ || invitation.guesses_ == 0 || invitation.ends_ <= Clock::now())
    return fail(ErrorCode::refused, "this code counts no more", kNewCode);
  --invitation.guesses_;
  return {};
}

Result<> Pairing::decide(Invitation& invitation, bool right, PairedPeer peer) {
  const std::lock_guard lock(mutex_);
  if (invitation.outcome_) return fail(ErrorCode::refused, "this code counts no more", kNewCode);
  if (!right && invitation.guesses_ > 0) {
    return fail(ErrorCode::not_allowed, "the code is wrong, or somebody is between the two hosts",
                "look at the code again, and at who answers at this address");
  }
  if (!right) {
    const Error error{ErrorCode::not_allowed, fmt::format("the code was wrong {} times", kGuesses), kNewCode};
    invitation.outcome_ = fail(error);
  } else if (auto added = peers_->add(peer); !added) {
    invitation.outcome_ = fail(added.error());
  } else {
    spdlog::info("{} ({}) is paired, asked for by {}", peer.name, peer.address.host, peer.paired_by);
    invitation.outcome_ = std::move(peer);
  }
  if (open_.get() == &invitation) open_.reset();
  changed_.notify_all();
  if (*invitation.outcome_) return {};
  return fail(invitation.outcome_->error());
}

// --- The side where it is typed
// ---------------------------------------------------------------------------------------------

namespace {

Result<PairedPeer> prove(peer::TlsStream& stream, const std::string& self, std::uint16_t port,
                         const Pairing::Wish& wish, const std::string& code, MonotonicTime deadline) {
  if (!peer::is_for_pairing(stream.connection()))
    return fail(ErrorCode::refused, "it cannot pair: it is older", "install the same version on both hosts");
  const auto bound = channel(stream);
  if (!bound) return fail(bound.error());
  const auto [own_key, key] = keys_of(stream);
  if (key == own_key) return fail(ErrorCode::refused, "that is this host itself", "see --address");
  const auto secret = Spake2::with_secret(Spake2::Side::a, code);
  if (auto sent = write_pairing_begin(stream, {self, port, secret.share()}, deadline); !sent)
    return fail(sent.error());
  const auto answer = read_pairing_answer(stream, deadline);
  if (!answer) return fail(answer.error());
  if (answer->name != wish.host) {
    return fail(ErrorCode::refused, fmt::format("the host there calls itself {}", answer->name),
                fmt::format("vmigrate pair {} --address {} --enter-code", answer->name, wish.address->host));
  }
  const auto expected =
      secret.finish(answer->share, {identity(self, own_key), identity(answer->name, key), *bound});
  if (!expected) return fail(expected.error());
  if (auto sent = write_pairing_proof(stream, expected->a, deadline); !sent) return fail(sent.error());
  const auto proof = read_pairing_proof(stream, deadline);
  if (!proof) return fail(proof.error());
  if (!same(expected->b, *proof)) {
    return fail(ErrorCode::not_allowed, "whoever answers there does not know the code", kNewCode);
  }
  return as_peer(wish.host, *wish.address, key, wish.asked_by);
}

}  // namespace

Result<PairedPeer> Pairing::enter(const peer::Credentials& credentials, const Wish& wish,
                                  const std::string& code) {
  const auto deadline = Clock::now() + self_.patience;
  const auto where = fmt::format("{} ({})", wish.host, wish.address->text());
  const auto about = [&](const Error& error) {
    Error told = error.in(where);
    if (told.hint.empty() && told.code == ErrorCode::refused)
      told.hint = fmt::format("first, on {}: vmigrate pair {}", wish.host, self_.name);
    if (told.hint.empty() && told.code == ErrorCode::unreachable)
      told.hint = fmt::format(
          "does migrated run there? is that its address? vmigrate pair {} --address ADDRESS", wish.host);
    return fail(std::move(told));
  };
  auto socket = peer::connect_tcp(wish.address->host, wish.address->port, deadline);
  if (!socket) return about(socket.error());
  auto stream = peer::TlsStream::handshake(std::move(*socket), credentials, true, deadline,
                                           peer::TlsStream::Purpose::pairing);
  if (!stream) return about(stream.error());
  auto peer = prove(*stream, self_.name, self_.port, wish, code, deadline);
  stream->say_goodbye();
  if (!peer) return about(peer.error());
  if (auto added = peers_->add(*peer); !added) return about(added.error());
  spdlog::info("{} ({}) is paired, asked for by {}", peer->name, peer->address.host, peer->paired_by);
  return peer;
}

}  // namespace vmigrate::trust
