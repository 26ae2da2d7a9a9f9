#include "trust/spake2.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

namespace vmigrate::trust {
namespace {

using Side = Spake2::Side;

std::string digits(ByteView bytes) {
  std::string text;
  for (const auto byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

// RFC 9382, appendix B, the first vector: A = "server", B = "client".
constexpr const char* kW = "2ee57912099d31560b3a44b1184b9b4866e904c49d12ac5042c97dca461b1a5f";
constexpr const char* kX = "43dd0fd7215bdcb482879fca3220c6a968e66d70b1356cac18bb26c84a78d729";
constexpr const char* kY = "dcb60106f276b02606d8ef0a328c02e4b629f84f89786af5befb0bc75b6e66be";

TEST(Spake2, MakesWhatTheRfcSays) {
  const auto a = Spake2::with_scalars(Side::a, kW, kX);
  const auto b = Spake2::with_scalars(Side::b, kW, kY);
  EXPECT_EQ(digits(a.share()),
            "04a56fa807caaa53a4d28dbb9853b9815c61a411118a6fe516a8798434751470f9"
            "010153ac33d0d5f2047ffdb1a3e42c9b4e6be662766e1eeb4116988ede5f912c");
  EXPECT_EQ(digits(b.share()),
            "0406557e482bd03097ad0cbaa5df82115460d951e3451962f1eaf4367a420676d0"
            "9857ccbc522686c83d1852abfa8ed6e4a1155cf8f1543ceca528afb591a1e0b7");
  for (const auto& confirmations :
       {a.finish(b.share(), {"server", "client", ""}), b.finish(a.share(), {"server", "client", ""})}) {
    ASSERT_TRUE(confirmations);
    EXPECT_EQ(digits(confirmations->a), "58ad4aa88e0b60d5061eb6b5dd93e80d9c4f00d127c65b3b35b1b5281fee38f0");
    EXPECT_EQ(digits(confirmations->b), "d3e2e547f1ae04f2dbdbf0fc4b79f8ecff2dff314b5d32fe9fcef2fb26dc459b");
  }
}

class Spake2OfTwo : public testing::Test {
 protected:
  const Spake2 a_ = Spake2::with_secret(Side::a, "12345678");
  const Spake2 b_ = Spake2::with_secret(Side::b, "12345678");
  const Spake2Identities identities_{"hosta", "hostb", "channel"};

  void expect_different(const Spake2& other, const Spake2Identities& as_seen_there) {
    const auto here = a_.finish(other.share(), identities_);
    const auto there = other.finish(a_.share(), as_seen_there);
    ASSERT_TRUE(here && there);
    EXPECT_FALSE(same(here->a, there->a));
    EXPECT_FALSE(same(here->b, there->b));
  }
};

TEST_F(Spake2OfTwo, TheSameSecretGivesTheSameOnBothSides) {
  const auto here = a_.finish(b_.share(), identities_);
  const auto there = b_.finish(a_.share(), identities_);
  ASSERT_TRUE(here && there);
  EXPECT_TRUE(same(here->a, there->a));
  EXPECT_TRUE(same(here->b, there->b));
  EXPECT_FALSE(same(here->a, there->b));
}

TEST_F(Spake2OfTwo, AnotherSecretOrAnotherNameOrAnotherChannelIsNoticed) {
  expect_different(Spake2::with_secret(Side::b, "12345679"), identities_);
  expect_different(b_, {"hostx", "hostb", "channel"});
  expect_different(b_, {"hosta", "hostx", "channel"});
  expect_different(b_, {"hosta", "hostb", "another"});
}

TEST_F(Spake2OfTwo, NeverSaysTheSameTwice) {
  EXPECT_NE(a_.share(), Spake2::with_secret(Side::a, "12345678").share());
}

TEST_F(Spake2OfTwo, RefusesWhatIsNoShare) {
  auto share = b_.share();
  EXPECT_FALSE(a_.finish(ByteView(share).first(64), identities_));
  EXPECT_FALSE(a_.finish({}, identities_));
  share.back() ^= std::byte{1};
  EXPECT_FALSE(a_.finish(share, identities_)) << "not on the curve";
  ByteBuffer infinity(1);
  EXPECT_FALSE(a_.finish(infinity, identities_));
  ByteBuffer padded(Spake2::kShareSize);
  EXPECT_FALSE(a_.finish(padded, identities_));
}

}  // namespace
}  // namespace vmigrate::trust
