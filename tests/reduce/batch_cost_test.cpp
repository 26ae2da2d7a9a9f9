#include <gtest/gtest.h>

#include "pages.hpp"

/// What reducing is for: bytes that need not be sent.
namespace vmigrate::reduce {
namespace {

/// As QEMU sends it: sections end every 50 ms or so.
void end_section(BothEnds& ends) {
  ends.opaque(noise_page(0));
}

TEST(BatchCost, ZeroPagesOfAGuestCostNextToNothing) {
  BothEnds ends(100);
  std::size_t bytes = 0;
  std::size_t sections = 0;
  for (std::uint64_t page = 0; page < 402'000; ++page) {
    ends.zero_page(place_of(page), std::byte{});
    if (page % 5000 == 4999) end_section(ends), ++sections;
    if (ends.writer.original_bytes() < 1 << 20) continue;
    ASSERT_TRUE(ends.exchange());
    bytes += ends.last.bytes.size();
  }
  ASSERT_TRUE(ends.exchange());
  bytes += ends.last.bytes.size();
  EXPECT_LT(bytes - sections * kPageSize, 1000U);
}

TEST(BatchCost, PagesBetweenZeroPagesCostFewBytesMore) {
  BothEnds ends(0);
  for (std::uint64_t page = 0; page < 200; page += 2) {
    ends.zero_page(place_of(page), std::byte{});
    ends.page(place_of(page + 1), noise_page(page));
  }
  ASSERT_TRUE(ends.exchange());
  EXPECT_LE(ends.last.bytes.size(), 100 * (kPageSize + 2) + 1 + kTrailerBytes);
}

TEST(BatchCost, DuplicatesCostAFewBytes) {
  BothEnds ends(1000);
  for (std::uint64_t page = 0; page < 500; ++page) ends.page(place_of(page), noise_page(page));
  ASSERT_TRUE(ends.exchange());
  // In another order, so that neither places nor slots make runs.
  for (std::uint64_t page = 0; page < 500; ++page) {
    ends.page(place_of(10'000 + page), noise_page(page * 7 % 500));
  }
  ASSERT_TRUE(ends.exchange());
  EXPECT_GE(ends.last.counters.seen, 490U);  // a few may have lost their place in the index
  EXPECT_LT(ends.last.bytes.size(), std::size_t{490} * 4 + 10 * (kPageSize + 8));
}

TEST(BatchCost, SameContentAtTheSamePlaceCostsAFewBytes) {
  BothEnds ends(100);
  for (std::uint64_t page = 0; page < 100; ++page) ends.page(place_of(page), noise_page(page));
  ASSERT_TRUE(ends.exchange());
  for (std::uint64_t page = 0; page < 100; ++page) ends.page(place_of(page), noise_page(page));
  ASSERT_TRUE(ends.exchange());
  EXPECT_EQ(ends.last.counters.seen, 100U);
  EXPECT_LT(ends.last.bytes.size(), 40U);
}

TEST(BatchCost, SparseWritesCostLittleMoreThanWhatWasWritten) {
  constexpr std::uint64_t kPages = 1000;
  BothEnds ends(kPages);
  std::vector<ByteBuffer> memory;
  for (std::uint64_t page = 0; page < kPages; ++page)
    ends.page(place_of(page), memory.emplace_back(noise_page(page)));
  ASSERT_TRUE(ends.exchange());
  for (std::uint64_t pass = 1; pass < 4; ++pass) {
    for (std::uint64_t page = 0; page < kPages; page += 2) {
      const auto written = noise_page(kPages * pass + page);
      std::copy_n(written.begin(), 64, memory[page].begin() + static_cast<std::ptrdiff_t>(page * 8 % 4000));
      ends.page(place_of(page), memory[page]);
    }
    ASSERT_TRUE(ends.exchange());
    EXPECT_GE(ends.last.counters.delta, 495U);
    EXPECT_LT(ends.last.bytes.size(), std::size_t{500} * 73 + 5 * kPageSize);
  }
}

/// Passes over `memory`, of which every page is written to a little in between; the share of pages in the
/// last pass that were not sent whole.
double share_spared(BothEnds& ends, std::vector<ByteBuffer>& memory, std::uint64_t first_page, int passes) {
  for (int pass = 1; pass <= passes; ++pass) {
    for (std::uint64_t page = 0; page < memory.size(); ++page) {
      memory[page][page % kPageSize] ^= std::byte{1};
      ends.page(place_of(first_page + page), memory[page]);
    }
    EXPECT_TRUE(ends.exchange());
  }
  return static_cast<double>(ends.last.counters.delta) / static_cast<double>(memory.size());
}

std::vector<ByteBuffer> memory_of(std::uint64_t pages) {
  std::vector<ByteBuffer> memory;
  for (std::uint64_t page = 0; page < pages; ++page) memory.push_back(noise_page(page));
  return memory;
}

TEST(BatchCost, ScanTwiceAsLargeAsTheStoreHasTheUseOfAllOfIt) {
  BothEnds ends(200);
  auto memory = memory_of(400);
  EXPECT_GT(share_spared(ends, memory, 0, 2), 0.48);
  EXPECT_GT(share_spared(ends, memory, 0, 5), 0.48);
}

TEST(BatchCost, StoreFollowsTheWriterToPagesThatTheFirstPassLeftOut) {
  BothEnds ends(200);
  // The first pass fills the store with pages that are never written to again.
  for (std::uint64_t page = 0; page < 300; ++page) ends.page(place_of(page), noise_page(1'000'000 + page));
  auto memory = memory_of(150);
  share_spared(ends, memory, 300, 1);
  EXPECT_GT(share_spared(ends, memory, 300, 2), 0.97);
}

TEST(BatchCost, StoreFollowsTheWriterToLowerAddressesToo) {
  BothEnds ends(200);
  for (std::uint64_t page = 500; page < 800; ++page) ends.page(place_of(page), noise_page(1'000'000 + page));
  auto memory = memory_of(150);
  EXPECT_GT(share_spared(ends, memory, 0, 4), 0.97);
}

TEST(BatchCost, PagesStillToComeInThisPassKeepTheirSlots) {
  BothEnds ends(200);
  auto memory = memory_of(300);
  for (std::uint64_t page = 0; page < 100; ++page) ends.writer.went_as_it_is(place_of(page));
  for (std::uint64_t page = 100; page < 300; ++page) ends.page(place_of(page), memory[page]);
  EXPECT_GT(share_spared(ends, memory, 0, 1), 0.65);
}

TEST(BatchCost, ContentThatOthersShareKeepsItsSlot) {
  BothEnds ends(10);
  for (std::uint64_t page = 0; page < 10; ++page) ends.page(place_of(page), noise_page(page));
  // New ones push the others out.
  for (std::uint64_t pass = 1; pass < 6; ++pass) {
    ends.page(place_of(20), noise_page(3));
    for (std::uint64_t page = 30; page < 60; ++page) ends.page(place_of(page), noise_page(100 * pass + page));
    ASSERT_TRUE(ends.exchange());
    ASSERT_EQ(ends.last.counters.seen, 1U) << pass;
  }
}

TEST(BatchCost, ContentsOfThePastDoNotHideThoseOfToday) {
  BothEnds ends(200);
  for (std::uint64_t page = 0; page < 200; ++page) ends.page(place_of(page), noise_page(page));
  for (std::uint64_t pass = 1; pass < 100; ++pass) {
    for (std::uint64_t page = 100; page < 200; ++page)
      ends.page(place_of(page), noise_page(1000 * pass + page));
    ASSERT_TRUE(ends.exchange());
  }
  for (std::uint64_t page = 0; page < 100; ++page) ends.page(place_of(1000 + page), noise_page(page));
  for (std::uint64_t page = 100; page < 200; ++page) {
    ends.page(place_of(1000 + page), noise_page(99'000 + page));
  }
  ASSERT_TRUE(ends.exchange());
  EXPECT_GE(ends.last.counters.seen, 190U);
}

TEST(BatchCost, NoStoreCostsNoMoreThanTheStream) {
  BothEnds ends(0);
  for (std::uint64_t page = 0; page < 100; ++page) ends.page(place_of(page), noise_page(1));
  ASSERT_TRUE(ends.exchange());
  EXPECT_LT(ends.last.bytes.size(), ends.last.original_bytes);
}

}  // namespace
}  // namespace vmigrate::reduce
