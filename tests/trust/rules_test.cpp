#include <gmock/gmock.h>
#include <grp.h>

#include "trust/access_rules.hpp"
#include "trust/move_rules.hpp"

namespace vmigrate::trust {
namespace {

using testing::HasSubstr;

// --- Who may do what here

const Person kRoot{0, "root", {0}};
const Person kAlice{1000, "alice", {1000}};

TEST(AccessRules, WithoutRulesEverybodyMayButPair) {
  const AccessRules rules;
  for (const auto verb : {Verb::watch, Verb::check, Verb::start, Verb::cancel, Verb::resolve})
    EXPECT_TRUE(rules.permits(verb, kAlice, "hosta"));
  EXPECT_FALSE(rules.permits(Verb::pair, kAlice, "hosta"));
  EXPECT_TRUE(rules.permits(Verb::pair, kRoot, "hosta"));
}

TEST(AccessRules, ARuleIsForThoseThatItNamesAndRoot) {
  AccessRules rules;
  rules.allow(Verb::start, {"bob", "alice"});
  EXPECT_TRUE(rules.permits(Verb::start, kAlice, "hosta"));
  EXPECT_TRUE(rules.permits(Verb::start, kRoot, "hosta"));
  rules.allow(Verb::start, {"bob"});
  EXPECT_FALSE(rules.permits(Verb::start, kAlice, "hosta"));
  EXPECT_TRUE(rules.permits(Verb::cancel, kAlice, "hosta")) << "each verb has its own";
  rules.allow(Verb::start, {});
  EXPECT_FALSE(rules.permits(Verb::start, kAlice, "hosta"));
  EXPECT_TRUE(rules.permits(Verb::start, kRoot, "hosta"));
}

TEST(AccessRules, AGroupIsKnownByItsNumber) {
  const auto* group = ::getgrnam("daemon");
  ASSERT_NE(group, nullptr);
  AccessRules rules;
  rules.allow(Verb::start, {"@daemon"});
  EXPECT_TRUE(rules.permits(Verb::start, {1000, "alice", {1000, group->gr_gid}}, "hosta"));
  EXPECT_FALSE(rules.permits(Verb::start, kAlice, "hosta"));
  EXPECT_FALSE(rules.permits(Verb::start, {1000, "daemon", {1000}}, "hosta")) << "a user is no group";
  rules.allow(Verb::start, {"@there-is-no-such-group"});
  EXPECT_FALSE(rules.permits(Verb::start, kAlice, "hosta"));
}

TEST(AccessRules, ARefusalNamesTheRuleAndTheHost) {
  AccessRules rules;
  rules.allow(Verb::cancel, {"@operators", "bob"});
  const auto error = rules.permits(Verb::cancel, kAlice, "hosta").error();
  EXPECT_EQ(error.code, ErrorCode::not_allowed);
  EXPECT_THAT(error.message, HasSubstr("alice may not do this on hosta"));
  EXPECT_THAT(error.message, HasSubstr("'cancel' in [allow] is for @operators, bob and root"));
  EXPECT_THAT(AccessRules().permits(Verb::pair, kAlice, "hosta").error().message, HasSubstr("root alone"));
}

// --- Which VMs may go where

const MovedVm kWeb{"web1", "11111111-2222-3333-4444-555555555555"};
const MovedVm kDatabase{"db1", "99999999-2222-3333-4444-555555555555"};

TEST(MoveRules, WithoutRulesEverythingMayMove) {
  const MoveRules rules(MoveRules::Direction::send);
  EXPECT_TRUE(rules.permit(kWeb, "hostb", "hosta"));
}

TEST(MoveRules, TheFirstRuleThatIsAboutTheVmDecides) {
  MoveRules rules(MoveRules::Direction::send);
  rules.add({"db*", {"hostc"}});
  rules.add({"*", {"*"}});
  EXPECT_FALSE(rules.permit(kDatabase, "hostb", "hosta"));
  EXPECT_TRUE(rules.permit(kDatabase, "hostc", "hosta"));
  EXPECT_TRUE(rules.permit(kWeb, "hostb", "hosta"));
}

TEST(MoveRules, AVmThatNoRuleIsAboutStays) {
  MoveRules rules(MoveRules::Direction::send);
  rules.add({"db*", {"hostc"}});
  EXPECT_FALSE(rules.permit(kWeb, "hostc", "hosta"));
}

TEST(MoveRules, AVmIsKnownByItsNumberToo) {
  MoveRules rules(MoveRules::Direction::receive);
  rules.add({kWeb.id, {"host?"}});
  EXPECT_TRUE(rules.permit(kWeb, "hostb", "hosta"));
  EXPECT_FALSE(rules.permit(kWeb, "hostbb", "hosta"));
}

TEST(MoveRules, ARefusalNamesTheRuleAndWhoseItIs) {
  MoveRules rules(MoveRules::Direction::receive);
  rules.add({"db*", {"hostc"}});
  const auto error = rules.permit(kDatabase, "hostb", "hosta").error();
  EXPECT_EQ(error.code, ErrorCode::not_allowed);
  EXPECT_EQ(error.message,
            "db1 may not come from hostb: rule 1 (vm = \"db*\") names hostc in [[receive]] on hosta");
  EXPECT_THAT(rules.permit(kWeb, "hostb", "hosta").error().message, HasSubstr("no rule is about this VM"));
}

}  // namespace
}  // namespace vmigrate::trust
