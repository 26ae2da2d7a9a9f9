// Attacks on pairing, and on what it leaves behind.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <sys/socket.h>

#include "../peer/relay.hpp"
#include "../peer/sockets.hpp"
#include "peer/frame.hpp"
#include "peer/tcp.hpp"
#include "trust/pairing_messages.hpp"
#include "trust/spake2.hpp"
#include "two_unpaired_hosts.hpp"

namespace vmigrate::trust {
namespace {

using testing::HasSubstr;
using testing::Not;

class PairingAttacks : public TwoUnpairedHosts {
 protected:
  using Stream = Result<peer::TlsStream>;
  static MonotonicTime soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(20); }

  /// Somebody with a key of its own.
  Stream connect(std::uint16_t port, peer::TlsStream::Purpose purpose = peer::TlsStream::Purpose::pairing) {
    return peer::TlsStream::handshake(peer::connect_to(port), *mallory.credentials, true, soon(), purpose);
  }

  UnpairedHost mallory{"mallory"};
};

// --- Somebody between the two

/// Has one TLS connection with each of the two, under its own key, and passes on what they say.
class ManInTheMiddle {
 public:
  ManInTheMiddle(const peer::Credentials& credentials, std::uint16_t target)
      : listener_(peer::listen_anywhere()),
        thread_([this, &credentials, target] { run(credentials, target); }) {}
  ~ManInTheMiddle() { thread_.join(); }
  std::uint16_t port() const { return peer::port_of(listener_); }

 private:
  void run(const peer::Credentials& credentials, std::uint16_t target) {
    const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    FileDescriptor victim(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto near = peer::TlsStream::handshake(std::move(victim), credentials, false, soon);
    auto far = peer::TlsStream::handshake(peer::connect_to(target), credentials, true, soon,
                                          peer::TlsStream::Purpose::pairing);
    ASSERT_TRUE(near && far);
    auto* from = &*near;
    auto* to = &*far;
    for (;; std::swap(from, to)) {
      const auto message = peer::read_payload(*from, soon);
      if (!message || !peer::write_payload(*to, *message, soon)) return;
    }
  }

  const FileDescriptor listener_;
  std::thread thread_;
};

TEST_F(PairingAttacks, AManInTheMiddleThatPassesOnEverythingIsNoticedByBoth) {
  Invited invited(a, "hostb");
  // So that its own listening side takes those who come to be paired.
  Invited open(mallory, "anybody");
  {
    ManInTheMiddle between(*mallory.credentials, a.port());
    const auto entered = b.enter("hosta", between.port(), invited.code());
    ASSERT_FALSE(entered);
    EXPECT_EQ(entered.error().code, ErrorCode::not_allowed);
    EXPECT_THAT(entered.error().message, HasSubstr("somebody is between the two hosts"));
  }
  expect_strangers();
  // The real hostb still gets through.
  EXPECT_TRUE(b.enter("hosta", a.port(), invited.code()));
}

TEST_F(PairingAttacks, ARelayThatOnlyPassesBytesOnSeesNothingAndChangesNothing) {
  Invited invited(a, "hostb");
  peer::Relay relay(a.port());
  EXPECT_TRUE(b.enter("hosta", relay.port(), invited.code()));
}

TEST_F(PairingAttacks, AnImpostorWithAnInvitationOfItsOwnDoesNotPassForTheOther) {
  Invited invited(mallory, "hostb");
  auto as_hosta = std::make_shared<Pairing>(Pairing::Self{.name = "hosta", .port = 1}, mallory.peers);
  const auto fake = *as_hosta->invite({"hostb", {}, ""});
  const FileDescriptor listener = peer::listen_anywhere();
  std::thread impostor([&] {
    FileDescriptor victim(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto stream = peer::TlsStream::handshake(std::move(victim), *mallory.credentials, false, soon());
    if (stream) as_hosta->receive(std::move(*stream), "127.0.0.1:1", soon());
  });
  const auto right = fake->code() == "00000000" ? "00000001" : "00000000";
  const auto entered = b.enter("hosta", peer::port_of(listener), right);
  impostor.join();
  EXPECT_EQ(entered.error().code, ErrorCode::not_allowed);
  expect_strangers();
  EXPECT_TRUE(mallory.peers->list().empty());
}

// --- Guesses

TEST_F(PairingAttacks, AWrongCodePairsNobodyAndTheRightOneStillCounts) {
  Invited invited(a, "hostb");
  const auto wrong = b.enter("hosta", a.port(), invited.wrong_code());
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::not_allowed);
  EXPECT_THAT(wrong.error().message, HasSubstr("the code is wrong"));
  const auto noted = a.turned_away.pop_until(soon());
  ASSERT_TRUE(noted);
  EXPECT_THAT(noted->reason, HasSubstr("not paired: the code is wrong"));
  EXPECT_THAT(noted->peer.address, HasSubstr("127.0.0.1:"));
  expect_strangers();
  EXPECT_TRUE(b.enter("hosta", a.port(), invited.code()));
}

TEST_F(PairingAttacks, TheThirdWrongCodeEndsTheInvitation) {
  Invited invited(a, "hostb");
  for (int i = 0; i < Pairing::kGuesses; ++i) EXPECT_FALSE(b.enter("hosta", a.port(), invited.wrong_code()));
  EXPECT_THAT(invited.outcome().error().message, HasSubstr("wrong 3 times"));
  const auto late = b.enter("hosta", a.port(), invited.code());
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("does not expect"));
  expect_strangers();
}

TEST_F(PairingAttacks, ManyGuessesAtOnceAreNoMoreThanThree) {
  Invited invited(a, "hostb");
  std::atomic<int> looked_at = 0;
  {
    std::vector<std::jthread> guessers;
    for (int i = 0; i < 20; ++i) {
      guessers.emplace_back([&] {
        const auto entered = b.enter("hosta", a.port(), invited.wrong_code());
        if (entered.error().code == ErrorCode::not_allowed) ++looked_at;
      });
    }
  }
  EXPECT_LE(looked_at, Pairing::kGuesses);
  EXPECT_EQ(invited.outcome().error().code, ErrorCode::not_allowed);
  expect_strangers();
}

TEST_F(PairingAttacks, WhatWasSaidOnceCountsNowhereElse) {
  Invited invited(a, "hostb");
  // Somebody who has seen the right code in use (and even knows what was said) plays it again.
  auto first = connect(a.port());
  ASSERT_TRUE(first) << first.error().message;
  const auto secret = Spake2::with_secret(Spake2::Side::a, invited.code());
  ASSERT_TRUE(write_pairing_begin(*first, {"hostb", 1, secret.share()}, soon()));
  const auto answer = read_pairing_answer(*first, soon());
  ASSERT_TRUE(answer);
  const auto proofs = secret.finish(answer->share, {"hostb", "hosta", "of another connection"});
  ASSERT_TRUE(write_pairing_proof(*first, proofs->a, soon()));
  EXPECT_EQ(read_pairing_proof(*first, soon()).error().code, ErrorCode::not_allowed);
  expect_strangers();
}

TEST_F(PairingAttacks, ACodeIsGoodOnce) {
  Invited invited(a, "hostb");
  ASSERT_TRUE(b.enter("hosta", a.port(), invited.code()));
  EXPECT_FALSE(mallory.enter("hosta", a.port(), invited.code()));
  EXPECT_EQ(a.peers->list().size(), 1U);
  EXPECT_EQ(a.peers->find("hostb")->key, b.credentials->own_key());
}

TEST_F(PairingAttacks, AStreamOfStrangersWithoutProofSpendsNoGuess) {
  Invited invited(a, "hostb");
  for (int i = 0; i < 50; ++i) {
    auto stream = connect(a.port());
    ASSERT_TRUE(stream);
    const auto secret = Spake2::with_secret(Spake2::Side::a, "00000000");
    ASSERT_TRUE(write_pairing_begin(*stream, {"hostb", 1, secret.share()}, soon()));
    EXPECT_TRUE(read_pairing_answer(*stream, soon()));
  }
  EXPECT_TRUE(b.enter("hosta", a.port(), invited.code()));
}

// --- Without an invitation, and with nonsense

TEST_F(PairingAttacks, NobodyGetsInWhereNobodyIsExpected) {
  const auto stream = connect(a.port());
  ASSERT_FALSE(stream);
  EXPECT_THAT(stream.error().message, HasSubstr("does not expect"));
}

TEST_F(PairingAttacks, AnOpenInvitationLetsNobodyDoAnythingElse) {
  Invited invited(a, "hostb");
  // Not as a host at work: its key is nobody's. In TLS 1.3 it learns that only afterwards.
  auto work = connect(a.port(), peer::TlsStream::Purpose::work);
  peer::wire::Opening hello;
  hello.mutable_hello()->set_protocol(1);
  hello.mutable_hello()->set_oldest_protocol(1);
  if (work) {
    (void)peer::write_opening(*work, hello, soon());
    EXPECT_FALSE(peer::read_answer(*work, soon()));
  }
  // Nor as one that is to be paired and then says hello.
  auto stream = connect(a.port());
  ASSERT_TRUE(stream);
  ASSERT_TRUE(peer::write_opening(*stream, hello, soon()));
  EXPECT_FALSE(read_pairing_answer(*stream, soon()));
  EXPECT_EQ(a.accepted.used(), 0U);
  expect_strangers();
}

TEST_F(PairingAttacks, NonsenseIsRefusedAndSpendsNothing) {
  Invited invited(a, "hostb");
  const auto secret = Spake2::with_secret(Spake2::Side::a, invited.code());
  const std::vector<PairingBegin> nonsense{{"", 1, secret.share()},
                                           {"hostb", 0, secret.share()},
                                           {"hostb\n", 1, secret.share()},
                                           {"hostc", 1, secret.share()},
                                           {"hostb", 1, {}},
                                           {"hostb", 1, ByteBuffer(65)},
                                           {"hostb", 1, ByteBuffer(50'000)},
                                           {std::string(300, 'x'), 1, secret.share()}};
  for (const auto& begin : nonsense) {
    auto stream = connect(a.port());
    ASSERT_TRUE(stream);
    ASSERT_TRUE(write_pairing_begin(*stream, begin, soon()));
    EXPECT_EQ(read_pairing_answer(*stream, soon()).error().code, ErrorCode::refused);
  }
  auto stream = connect(a.port());
  ASSERT_TRUE(peer::write_payload(*stream, as_byte_view("no protobuf at all"), soon()));
  EXPECT_EQ(read_pairing_answer(*stream, soon()).error().code, ErrorCode::refused);
  EXPECT_TRUE(b.enter("hosta", a.port(), invited.code()));
  for (std::size_t i = 0; i <= nonsense.size(); ++i) {
    const auto noted = a.turned_away.pop_until(soon());
    ASSERT_TRUE(noted);
    EXPECT_THAT(noted->reason, HasSubstr("not paired: "));
  }
  a.stop_listening();
  EXPECT_EQ(a.turned_away.used(), 0U) << "who was paired is noted as refused";
}

TEST_F(PairingAttacks, AStrangersWordsAreNotRepeated) {
  Invited invited(a, "hostb");
  auto stream = connect(a.port());
  ASSERT_TRUE(stream);
  ASSERT_TRUE(write_pairing_refusal(*stream, {ErrorCode::failed, "hostc is paired", ""}, soon()));
  EXPECT_THAT(read_pairing_answer(*stream, soon()).error().message, Not(HasSubstr("hostc")));
  const auto noted = a.turned_away.pop_until(soon());
  ASSERT_TRUE(noted);
  EXPECT_THAT(noted->reason, Not(HasSubstr("hostc")));
}

TEST_F(PairingAttacks, AHostIsNotPairedWithItself) {
  Invited invited(a, "hosta");
  const auto entered = a.enter("hosta", a.port(), invited.code());
  ASSERT_FALSE(entered);
  EXPECT_THAT(entered.error().message, HasSubstr("this host itself"));
  expect_strangers();
}

// --- Afterwards

TEST_F(PairingAttacks, AStrangerIsTurnedAwayByTls) {
  pair();
  auto stream = connect(a.port(), peer::TlsStream::Purpose::work);
  peer::wire::Opening hello;
  hello.mutable_hello()->set_protocol(1);
  if (stream) {
    (void)peer::write_opening(*stream, hello, soon());
    EXPECT_FALSE(peer::read_answer(*stream, soon()));
  }
  EXPECT_EQ(a.accepted.used(), 0U);
}

TEST_F(PairingAttacks, AStrangerWithThePeersNameInItsCertificateIsNotTheOne) {
  pair();
  // Its own certificate says hostb, but its key is another.
  UnpairedHost impostor("hostb");
  ASSERT_TRUE(impostor.peers->add({"hosta", {"127.0.0.1", a.port()}, a.credentials->own_key()}));
  EXPECT_FALSE(impostor.dial("hosta"));
  // And where hosta looks for hostb, it does not take it for it either.
  auto moved = *a.peers->find("hostb");
  ASSERT_TRUE(a.peers->add({"hostb", {"127.0.0.1", impostor.port()}, moved.key}));
  const auto dialled = a.dial("hostb");
  ASSERT_FALSE(dialled);
  EXPECT_EQ(dialled.error().code, ErrorCode::not_allowed);
}

TEST_F(PairingAttacks, APairedHostDoesNotPassForAnother) {
  pair();
  UnpairedHost c{"hostc"};
  ASSERT_TRUE(a.peers->add({"hostc", {"127.0.0.1", b.port()}, c.credentials->own_key()}));
  // hostb answers where hostc is looked for. Its key is known, but as hostb's.
  const auto dialled = a.dial("hostc");
  ASSERT_FALSE(dialled);
  EXPECT_EQ(dialled.error().code, ErrorCode::not_allowed);
  EXPECT_THAT(dialled.error().message, HasSubstr("for hostb, not for hostc"));
}

TEST_F(PairingAttacks, WhoIsTakenOutGetsInNoMore) {
  pair();
  ASSERT_TRUE(b.dial("hosta"));
  ASSERT_TRUE(a.peers->remove("hostb"));
  EXPECT_FALSE(b.dial("hosta"));
  EXPECT_EQ(a.dial("hostb").error().code, ErrorCode::not_found);
  EXPECT_TRUE(a.peers->remove("hostb") && !*a.peers->remove("hostb"));
}

TEST_F(PairingAttacks, AKeyIsOfOneHostOnly) {
  pair();
  const auto added = a.peers->add({"hostc", {"127.0.0.1", 1}, b.credentials->own_key()});
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::refused);
  EXPECT_THAT(added.error().message, HasSubstr("as hostb"));
}

}  // namespace
}  // namespace vmigrate::trust
