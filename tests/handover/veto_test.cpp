#include "handover/veto.hpp"

#include <gmock/gmock.h>

namespace vmigrate::handover {
namespace {

Record record_of(Role role, std::string_view state, bool keeps_definition = false) {
  Record record;
  record.role = role;
  record.vm_name = "web1";
  record.peer = "hostb";
  record.state = state;
  record.keeps_definition = keeps_definition;
  return record;
}

TEST(Veto, WhatThisHostHasPromisedAwayIsNotStartedHere) {
  const auto veto = veto_of_start(record_of(Role::source, "relinquished"));
  ASSERT_TRUE(veto);
  EXPECT_EQ(veto->message, "web1 was handed over to hostb, and whether it runs there is not known yet");
  EXPECT_THAT(veto->hint, testing::HasSubstr("vmigrate resolve web1 --run-here --i-have-fenced hostb"));
}

TEST(Veto, ADefinitionThatWasKeptIsNotStartedHere) {
  const auto veto = veto_of_start(record_of(Role::source, "confirmed", true));
  ASSERT_TRUE(veto);
  EXPECT_EQ(veto->message, "web1 was handed over to hostb and runs there");
  EXPECT_TRUE(is_handed_over(record_of(Role::source, "confirmed", true)));
}

TEST(Veto, ADefinitionThatSomebodyMadeAnewIsHisAffair) {
  EXPECT_FALSE(veto_of_start(record_of(Role::source, "confirmed")));
}

TEST(Veto, WhatIsThisHostsIsStarted) {
  for (const bool kept : {false, true}) {
    // The host lost power while its VM was being copied, or a migration that came to nothing is long over.
    EXPECT_FALSE(veto_of_start(record_of(Role::source, "preparing", kept)));
    EXPECT_FALSE(veto_of_start(record_of(Role::source, "reclaimed", kept)));
    // libvirt starts what comes in as well.
    for (const auto state : {"reserved", "started", "running", "done", "refused"})
      EXPECT_FALSE(veto_of_start(record_of(Role::destination, state, kept))) << state;
  }
}

TEST(Veto, WhatIsInDoubtIsNotStartedUntilAPersonDecides) {
  const auto veto = veto_of_start(record_of(Role::destination, "in doubt"));
  ASSERT_TRUE(veto);
  EXPECT_EQ(veto->message,
            "web1 came from hostb, was gone before it was known to run here, and may run there again");
  EXPECT_THAT(veto->hint, testing::HasSubstr("vmigrate resolve web1 --run-here --i-have-fenced hostb"));
}

TEST(Veto, WhatIsBeingRemovedBecauseAPersonDecidedIsNotStarted) {
  const auto veto = veto_of_start(record_of(Role::destination, "refusing"));
  ASSERT_TRUE(veto);
  EXPECT_EQ(veto->message,
            "web1 is hostb's again by an administrator's word, and what came here is being removed");
}

TEST(Veto, AStateOfANewerVersionIsNoYes) {
  const auto veto = veto_of_start(record_of(Role::source, "lent"));
  ASSERT_TRUE(veto);
  EXPECT_THAT(veto->message, testing::HasSubstr("unknown state 'lent'"));
}

}  // namespace
}  // namespace vmigrate::handover
