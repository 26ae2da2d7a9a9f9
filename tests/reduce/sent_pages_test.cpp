#include "reduce/sent_pages.hpp"

#include <gtest/gtest.h>

#include "pages.hpp"

namespace vmigrate::reduce {
namespace {

TEST(SentPages, EqualHashesAreNotBelieved) {
  SentPages sent(2);
  sent.arrive(place_of(1));
  const auto slot = sent.claim();
  ASSERT_TRUE(slot);
  sent.put(*slot, 42, noise_page(1));
  EXPECT_EQ(sent.with_content(42, noise_page(1)), slot);
  EXPECT_FALSE(sent.with_content(42, noise_page(2)));
}

TEST(SentPages, SlotThatWasGivenUpIsNotFoundByItsOldPlaceOrContent) {
  SentPages sent(1);
  sent.arrive(place_of(1));
  sent.put(*sent.claim(), 1, noise_page(1));
  sent.arrive(place_of(9));
  EXPECT_FALSE(sent.claim()) << "the first pass fills free slots only";
  sent.arrive(place_of(2));
  const auto slot = sent.claim();
  ASSERT_TRUE(slot);
  sent.put(*slot, 2, noise_page(2));
  EXPECT_EQ(sent.of_this_place(), slot);
  EXPECT_FALSE(sent.with_content(1, noise_page(1)));
  sent.arrive(place_of(1));
  EXPECT_FALSE(sent.of_this_place());
}

TEST(SentPages, WhatWasGivenUpDoesNotHideWhatIsThere) {
  constexpr std::uint64_t kSlots = 100;
  SentPages sent(kSlots);
  for (std::uint64_t pass = 0; pass < 200; ++pass) {
    sent.arrive(place_of(0));
    for (std::uint64_t page = 1; page <= kSlots; ++page) {
      sent.arrive(place_of(pass * kSlots + page));
      if (const auto slot = sent.claim()) sent.put(*slot, pass * kSlots + page, noise_page(page));
    }
  }
  std::uint64_t by_place = 0;
  std::uint64_t by_content = 0;
  for (std::uint64_t page = 1; page <= kSlots; ++page) {
    sent.arrive(place_of(199 * kSlots + page));
    by_place += sent.of_this_place() ? 1U : 0U;
    by_content += sent.with_content(199 * kSlots + page, noise_page(page)) ? 1U : 0U;
  }
  EXPECT_GE(by_place, 95U);
  EXPECT_GE(by_content, 95U);
}

TEST(SentPages, NoSlotsAreNoSlots) {
  SentPages sent(0);
  for (int pass = 0; pass < 5; ++pass) {
    sent.arrive(place_of(1));
    EXPECT_FALSE(sent.of_this_place());
    EXPECT_FALSE(sent.claim());
  }
}

}  // namespace
}  // namespace vmigrate::reduce
