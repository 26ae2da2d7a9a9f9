// Two hosts that are paired, and what follows from it.
#include <gmock/gmock.h>

#include "trust/pairing_code.hpp"
#include "two_unpaired_hosts.hpp"

namespace vmigrate::trust {
namespace {

using testing::HasSubstr;

TEST_F(TwoUnpairedHosts, EachPinsTheOthersKeyOnceTheCodeIsTyped) {
  Invited invited(a, "hostb");
  const auto entered = b.enter("hosta", a.port(), invited.code());
  ASSERT_TRUE(entered) << entered.error().message;
  EXPECT_EQ(entered->key, a.credentials->own_key());
  EXPECT_EQ(entered->address.port, a.port());
  const auto shown = invited.outcome();
  ASSERT_TRUE(shown) << shown.error().message;
  EXPECT_EQ(shown->key, b.credentials->own_key());
  // Nobody has said where hostb is: from where it came, at the port where it says that it listens.
  EXPECT_EQ(shown->address.host, "127.0.0.1");
  EXPECT_EQ(shown->address.port, 1);
  EXPECT_EQ(a.peers->find("hostb")->key, b.credentials->own_key());
  EXPECT_EQ(b.peers->find("hosta")->key, a.credentials->own_key());
}

TEST_F(TwoUnpairedHosts, SessionsAreMadeBothWaysFromThenOn) {
  EXPECT_EQ(b.dial("hosta").error().code, ErrorCode::not_found);
  pair();
  const auto to_a = b.dial("hosta");
  ASSERT_TRUE(to_a) << to_a.error().message;
  EXPECT_EQ((*a.accepted.pop())->peer().host, "hostb");
  const auto to_b = a.dial("hostb");
  ASSERT_TRUE(to_b) << to_b.error().message;
  EXPECT_EQ((*b.accepted.pop())->peer().host, "hosta");
  EXPECT_EQ((*to_b)->peer().host, "hostb");
  EXPECT_GT((*to_b)->peer().certificates_end, std::chrono::system_clock::now() + std::chrono::days(3000));
}

TEST_F(TwoUnpairedHosts, WhoIsPairedStaysSoAfterARestart) {
  pair();
  const auto again = PairedPeers::open(a.folder.file("peers.toml"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)->find("hostb")->key, b.credentials->own_key());
}

TEST_F(TwoUnpairedHosts, TheAddressThatWasNamedGoesBeforeTheOneItComesFrom) {
  const auto invitation =
      a.pairing->invite({"hostb", peer::HostAddress{"hostb.example.org", 7}, "root (uid 0)"});
  ASSERT_TRUE(invitation);
  ASSERT_TRUE(b.enter("hosta", a.port(), (*invitation)->code()));
  ASSERT_TRUE(a.pairing->wait(*invitation));
  EXPECT_EQ(a.peers->find("hostb")->address.host, "hostb.example.org");
}

TEST_F(TwoUnpairedHosts, OneInvitationAtATime) {
  Invited invited(a, "hostb");
  const auto other = a.pairing->invite({"hostc", {}, ""});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::refused);
  EXPECT_THAT(other.error().message, HasSubstr("waits for hostb"));
}

TEST_F(TwoUnpairedHosts, AHostOfAnotherNameIsToldWhatThisOneIsCalled) {
  Invited invited(a, "hostb");
  const auto entered = b.enter("hostx", a.port(), invited.code());
  ASSERT_FALSE(entered);
  EXPECT_THAT(entered.error().message, HasSubstr("calls itself hosta"));
  EXPECT_THAT(entered.error().hint, HasSubstr("vmigrate pair hosta"));
  expect_strangers();
}

TEST(Pairing, AnInvitationEndsWithItsLifetime) {
  UnpairedHost a{"hosta", Milliseconds(30)};
  UnpairedHost b{"hostb"};
  const auto invitation = *a.pairing->invite({"hostb", {}, ""});
  const auto outcome = a.pairing->wait(invitation);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(a.pairing->expects_somebody());
  EXPECT_FALSE(b.enter("hosta", a.port(), invitation->code()));
}

TEST_F(TwoUnpairedHosts, ACodeIsReadHoweverItIsTyped) {
  for (const auto* text : {"12345678", "1234-5678", " 1234 5678\n"})
    EXPECT_EQ(*parse_pairing_code(text), "12345678");
  for (const auto* text : {"", "1234567", "123456789", "1234-567x", "12\xc2\xb2"})
    EXPECT_FALSE(parse_pairing_code(text)) << text;
  EXPECT_EQ(*parse_pairing_code(for_people("12345678")), "12345678");
  EXPECT_NE(new_pairing_code(), new_pairing_code());
}

}  // namespace
}  // namespace vmigrate::trust
