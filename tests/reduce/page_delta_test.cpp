#include "reduce/page_delta.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pages.hpp"

namespace vmigrate::reduce {
namespace {

TEST(PageDelta, SamePagesHaveNone) {
  ByteBuffer out(3);
  EXPECT_EQ(append_delta(noise_page(1), noise_page(1), out), Difference::none);
  EXPECT_EQ(out.size(), 3U);
}

TEST(PageDelta, DifferentPagesAreTooFarApart) {
  ByteBuffer out(3);
  EXPECT_EQ(append_delta(noise_page(1), noise_page(2), out), Difference::too_long);
  EXPECT_EQ(out.size(), 3U);
}

TEST(PageDelta, EveryByteOfAPageCanBeTheOneThatDiffers) {
  const auto before = noise_page(1);
  for (std::size_t at = 0; at < kPageSize; ++at) {
    auto now = before;
    now[at] ^= std::byte{0x10};
    ByteBuffer delta;
    ASSERT_EQ(append_delta(before, now, delta), Difference::found);
    ASSERT_LE(delta.size(), 13U);
    auto page = before;
    FieldReader reader{delta};
    ASSERT_TRUE(apply_delta(reader, page));
    ASSERT_EQ(page, now) << at;
    ASSERT_TRUE(reader.empty());
  }
}

RC_GTEST_PROP(PageDelta, AnyChangesAreFoundAndMadeAgain, ()) {
  const auto before = noise_page(1);
  auto now = before;
  const auto writes = *rc::gen::container<std::vector<std::pair<std::size_t, std::size_t>>>(
      rc::gen::pair(rc::gen::inRange<std::size_t>(0, kPageSize), rc::gen::inRange<std::size_t>(1, 300)));
  for (const auto& [at, size] : writes) {
    for (std::size_t i = at; i < std::min(at + size, kPageSize); ++i) now[i] ^= std::byte{1};
  }
  ByteBuffer delta;
  const auto difference = append_delta(before, now, delta);
  RC_ASSERT((difference == Difference::none) == (now == before));
  RC_ASSERT(delta.size() <= kLongestDelta + 2);
  if (difference != Difference::found) return;
  auto page = before;
  FieldReader reader{delta};
  RC_ASSERT(apply_delta(reader, page).has_value());
  RC_ASSERT(page == now);
  RC_ASSERT(reader.empty());
}

}  // namespace
}  // namespace vmigrate::reduce
