// When a link counts as lost, and when as back.
#include "peer/outage.hpp"

#include <gtest/gtest.h>

namespace vmigrate::peer {
namespace {

class OutageTest : public testing::Test {
 protected:
  OutageTest() {
    outage_.came(1);
    outage_.came(2);
  }

  Outage outage_;
};

TEST_F(OutageTest, IsOneThoughItsConnectionsFindOutOneAfterTheOther) {
  EXPECT_TRUE(outage_.lost(0));
  EXPECT_FALSE(outage_.came(0));
  EXPECT_FALSE(outage_.lost(2));
  EXPECT_FALSE(outage_.lost(1));
  EXPECT_FALSE(outage_.came(2));
  EXPECT_TRUE(outage_.came(1));
  EXPECT_TRUE(outage_.lost(1)) << "the next one";
}

TEST_F(OutageTest, DoesNotLastWhereTheOtherConnectionsAreHeard) {
  EXPECT_TRUE(outage_.lost(1));
  EXPECT_FALSE(outage_.came(1));
  EXPECT_TRUE(outage_.waits_for_word());
  EXPECT_FALSE(outage_.heard(0));
  EXPECT_TRUE(outage_.heard(2));
  EXPECT_FALSE(outage_.waits_for_word());
  EXPECT_FALSE(outage_.heard(2)) << "it was over";
}

TEST_F(OutageTest, DoesNotEndByAWordWhileAConnectionIsLost) {
  EXPECT_TRUE(outage_.lost(1));
  EXPECT_FALSE(outage_.heard(0));
  EXPECT_FALSE(outage_.heard(2));
  EXPECT_TRUE(outage_.came(1));
}

TEST_F(OutageTest, DoesNotWaitForConnectionsThatHaveEnded) {
  outage_.ended(1);
  EXPECT_TRUE(outage_.lost(0));
  EXPECT_FALSE(outage_.came(0));
  EXPECT_TRUE(outage_.ended(2));
}

TEST_F(OutageTest, DoesNotWaitForConnectionsThatAreGivenUp) {
  EXPECT_TRUE(outage_.lost(0));
  EXPECT_FALSE(outage_.lost(1));
  outage_.gone(1);
  outage_.gone(2);
  EXPECT_FALSE(outage_.waits_for_word());
  EXPECT_TRUE(outage_.came(0));
}

}  // namespace
}  // namespace vmigrate::peer
