// What is kept until the other end has it, and other ends that lie about that.
#include "peer/unacknowledged.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "two_hosts.hpp"

namespace vmigrate::peer {
namespace {

Unacknowledged three_of_which_two_were_sent() {
  Unacknowledged units;
  for (const auto* text : {"a", "bc", "def"}) units.add(bytes_of(text));
  units.sent();
  units.sent();
  return units;
}

TEST(Unacknowledged, LetsGoOfWhatHasArrived) {
  auto units = three_of_which_two_were_sent();
  EXPECT_EQ(units.bytes(), 6U);
  EXPECT_TRUE(units.acknowledge(1));
  EXPECT_EQ(units.bytes(), 5U);
  EXPECT_EQ(*units.next(), bytes_of("def"));
}

TEST(Unacknowledged, GoesOnBehindWhatTheOtherEndHas) {
  auto units = three_of_which_two_were_sent();
  EXPECT_TRUE(units.go_back_to(1));
  EXPECT_EQ(*units.next(), bytes_of("bc"));
}

TEST(Unacknowledged, IsNotLiedTo) {
  auto units = three_of_which_two_were_sent();
  EXPECT_TRUE(units.acknowledge(1));
  for (const std::uint64_t lie : {std::uint64_t{0}, std::uint64_t{3}, UINT64_MAX}) {
    EXPECT_FALSE(units.acknowledge(lie)) << lie;
    EXPECT_FALSE(units.go_back_to(lie)) << lie;
  }
  EXPECT_TRUE(units.acknowledge(2));
  EXPECT_EQ(units.bytes(), 3U);
}

// Whatever is lost and whenever it is acknowledged, each comes once and in its order.
RC_GTEST_PROP(Unacknowledged, LosesNothingAndRepeatsNothing, ()) {
  Unacknowledged units;
  std::uint64_t received = 0;
  std::uint64_t added = 0;
  for (int step = 0; step < 200; ++step) {
    switch (*rc::gen::inRange(0, 4)) {
      case 0: units.add(ByteBuffer(static_cast<std::size_t>(++added))); break;
      case 1:
        if (const auto* next = units.next()) {
          RC_ASSERT(next->size() == received + 1);
          ++received;
          units.sent();
        }
        break;
      case 2: RC_ASSERT(units.acknowledge(received).has_value()); break;
      default: RC_ASSERT(units.go_back_to(received).has_value()); break;
    }
  }
}

}  // namespace
}  // namespace vmigrate::peer
