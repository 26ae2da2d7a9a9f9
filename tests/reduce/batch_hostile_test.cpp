#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pages.hpp"

/// Batches that no writer wrote.
namespace vmigrate::reduce {
namespace {

constexpr std::size_t kStorePages = 4;

/// Literals and operations put together by hand.
struct Forged {
  ByteBuffer literals;
  ByteBuffer shuffled;
  std::optional<std::uint64_t> said_shuffled;
  ByteBuffer operations;

  Forged& operation(Operation kind, unsigned flags = 0) {
    operations.push_back(static_cast<std::byte>(static_cast<unsigned>(kind) | flags));
    return *this;
  }
  Forged& number(std::uint64_t value) {
    put_number(operations, value);
    return *this;
  }
  Forged& moved(std::uint64_t to) {
    put_difference(operations, to, 0);
    return *this;
  }
  Forged& content(std::size_t size) {
    literals.resize(literals.size() + size, std::byte{'x'});
    return *this;
  }
  Forged& delta(std::initializer_list<std::uint64_t> numbers) {
    for (const auto value : numbers) put_number(literals, value);
    return *this;
  }
  ByteBuffer bytes() const {
    ByteBuffer all = literals;
    put_number(all, said_shuffled.value_or(shuffled.size()));
    all.insert(all.end(), shuffled.begin(), shuffled.end());
    all.insert(all.end(), operations.begin(), operations.end());
    const auto size = all.size() - literals.size();
    for (int shift = 24; shift >= 0; shift -= 8) all.push_back(static_cast<std::byte>(size >> shift & 0xff));
    return all;
  }
};

Forged forge() {
  return {};
}

constexpr std::size_t kOnePage = 8 + kPageSize;

void expect_refused(const Forged& forged, std::size_t original_bytes, const std::string& why) {
  BatchReader reader(kStorePages);
  const auto restored = reader.restore(forged.bytes(), original_bytes);
  ASSERT_FALSE(restored) << why;
  EXPECT_NE(restored.error().message.find(why), std::string::npos) << restored.error().message;
}

TEST(HostileBatch, ForgeryByTheRulesIsRestored) {
  BatchReader reader(kStorePages);
  const auto batch = forge()
                         .operation(Operation::kept, kSpecial)
                         .moved(3)
                         .content(kPageSize)
                         .operation(Operation::same, kSpecial)
                         .moved(3)
                         .operation(Operation::delta, kSpecial)
                         .number(1)
                         .delta({0, 1})
                         .content(8)
                         .delta({511})
                         .operation(Operation::zero, kJump | kRun)
                         .moved(7)
                         .number(10)
                         .bytes();
  const auto restored = reader.restore(batch, 3 * kOnePage + std::size_t{10} * 9);
  EXPECT_TRUE(restored) << restored.error().message;
}

TEST(HostileBatch, SlotsAreChecked) {
  expect_refused(forge().operation(Operation::same), kOnePage, "holds nothing");
  expect_refused(forge().operation(Operation::delta).delta({512}), kOnePage, "holds nothing");
  expect_refused(forge().operation(Operation::same, kSpecial).moved(kStorePages), kOnePage, "outside");
  expect_refused(forge().operation(Operation::same, kSpecial).moved(~std::uint64_t{0}), kOnePage, "outside");
  expect_refused(forge().operation(Operation::kept, kSpecial).moved(kStorePages).content(kPageSize), kOnePage,
                 "outside");
  expect_refused(forge().operation(Operation::kept, kRun).number(5).content(5 * kPageSize), 5 * kOnePage,
                 "outside");
  expect_refused(
      forge().operation(Operation::kept, kRun | kSpecial).number(2).moved(3).content(2 * kPageSize),
      2 * kOnePage, "outside");
}

TEST(HostileBatch, RunsAreWithinWhatWasSaid) {
  expect_refused(forge().operation(Operation::zero, kRun).number(11), 90, "more than was said");
  expect_refused(forge().operation(Operation::zero, kRun).number(9), 90, "less than was said");
  expect_refused(forge().operation(Operation::zero, kRun).number(std::uint64_t{1} << 51), 90,
                 "more than was said");
  expect_refused(forge().operation(Operation::zero, kRun).number(~std::uint64_t{0}), 90, "none can");
  expect_refused(forge().operation(Operation::zero, kJump).moved(std::uint64_t{1} << 52), 9, "none can");
  expect_refused(forge().operation(Operation::literal, kRun).number(2).content(kPageSize), kOnePage,
                 "more than was said");
  // So many pages that their bytes, counted in 64 bits, are few.
  const std::uint64_t many = ~std::uint64_t{0} / kOnePage + 1;
  expect_refused(forge().operation(Operation::literal, kRun).number(many), many * kOnePage,
                 "more than was said");
  expect_refused(forge().operation(Operation::opaque).number(3).content(3), 2, "more than was said");
  expect_refused(forge().operation(Operation::opaque).number(3).content(3), std::size_t{1} << 40, "too much");
}

TEST(HostileBatch, LiteralsAreThere) {
  expect_refused(forge().operation(Operation::literal).content(kPageSize - 1), kOnePage, "missing");
  expect_refused(forge().operation(Operation::opaque).number(3).content(2), 3, "missing");
  expect_refused(forge().operation(Operation::opaque).number(3).content(4), 3, "no operation takes");
}

TEST(HostileBatch, ShuffledBitsAreThere) {
  auto forged = forge().operation(Operation::literal).content(kPageSize);
  forged.said_shuffled = 3;
  expect_refused(forged, kOnePage, "cut off");
  forged.said_shuffled = ~std::uint64_t{0};
  expect_refused(forged, kOnePage, "cut off");
  // More of them than pages say nothing.
  forged.said_shuffled.reset();
  forged.shuffled.resize(1'000, std::byte{0xff});
  EXPECT_TRUE(BatchReader(kStorePages).restore(forged.bytes(), kOnePage));
}

TEST(HostileBatch, DifferencesStayInThePage) {
  for (const auto& [same, differing] : {std::pair{513U, 1U}, {512U - 3, 4U}, {0U, 0U}, {0U, 513U}}) {
    expect_refused(forge()
                       .operation(Operation::kept)
                       .content(kPageSize)
                       .operation(Operation::delta)
                       .delta({same, differing})
                       .content(2 * kPageSize),
                   2 * kOnePage, "difference");
  }
}

TEST(HostileBatch, NamesAreKnown) {
  expect_refused(forge().operation(Operation::zero, kNamed), 10, "no name");
  expect_refused(forge().operation(Operation::zero, kBlock).number(kMostBlocks), 10, "number that none has");
  expect_refused(forge().operation(Operation::block_table).number(kMostBlocks + 1), 10, "too many");
  expect_refused(forge().operation(Operation::block_table).number(2).number(0), 10, "cut off");
  expect_refused(forge().operation(Operation::block_table).number(1).number(9), 10, "cut off");
  expect_refused(
      forge().operation(Operation::block_table).number(1).number(0).operation(Operation::zero, kNamed), 9,
      "more than was said");
}

TEST(HostileBatch, OperationsAreKnown) {
  expect_refused(forge().operation(Operation{0}), 10, "unknown");
  expect_refused(forge().operation(Operation::opaque, kRun).number(1), 10, "flags");
  expect_refused(forge().operation(Operation::literal, kSpecial).number(1), kOnePage, "flags");
  for (const unsigned flag : {kBlock, kJump, kRun, kSpecial}) {
    expect_refused(forge().operation(Operation::zero, flag), 10, "cut off");
  }
  auto endless = forge().operation(Operation::zero, kRun);
  endless.operations.resize(20, std::byte{0xff});
  expect_refused(endless, 10, "cut off");
}

TEST(HostileBatch, ItsEndIsThere) {
  BatchReader reader(kStorePages);
  EXPECT_FALSE(reader.restore(ByteBuffer(3), 0));
  EXPECT_FALSE(BatchReader(kStorePages).restore(ByteBuffer(100, std::byte{0xff}), 0));
}

TEST(HostileBatch, AfterABrokenOneTheNextIsRefused) {
  BatchReader reader(kStorePages);
  const auto good = forge().operation(Operation::zero).bytes();
  ASSERT_TRUE(reader.restore(good, 9));
  ASSERT_FALSE(reader.restore(good, 8));
  EXPECT_FALSE(reader.restore(good, 9));
}

/// A batch in which every operation occurs, and what it stands for.
Batch batch_of_everything() {
  BatchWriter writer(kStorePages);
  writer.opaque(as_byte_view("head"));
  writer.block_table({{"pc.ram", 1 << 30}, {"rom", 4096}});
  auto content = noise_page(1);
  writer.page({1, 7 * kPageSize, true}, array_page(1));
  writer.page({1, 0, true}, content);
  writer.page(place_of(5), content);
  content[77] = std::byte{1};
  writer.page({1, 0, false}, content);
  writer.page(place_of(6), noise_page(2));
  for (std::uint64_t page = 0; page < 100; ++page) writer.zero_page(place_of(page), std::byte{});
  writer.zero_page(place_of(9000), std::byte{9});
  for (std::uint64_t page = 0; page < 9; ++page) writer.page(place_of(page), noise_page(page));
  return writer.take();
}

TEST(HostileBatch, EveryTruncationIsRefused) {
  const auto batch = batch_of_everything();
  ASSERT_TRUE(BatchReader(kStorePages).restore(batch.bytes, batch.original_bytes));
  for (std::size_t size = 0; size < batch.bytes.size(); ++size) {
    ASSERT_FALSE(BatchReader(kStorePages).restore(ByteView(batch.bytes).first(size), batch.original_bytes))
        << size;
  }
}

TEST(HostileBatch, FlippedBitsGiveAnErrorOrBytes) {
  const auto batch = batch_of_everything();
  std::size_t operations = 0;
  for (const std::byte byte : ByteView(batch.bytes).last(4))
    operations = operations << 8 | std::to_integer<std::size_t>(byte);
  std::mt19937 random(5);
  std::size_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto flipped = batch.bytes;
    for (auto flips = random() % 3 + 1; flips > 0; --flips) {
      // Nine of ten where it hurts.
      const auto range = random() % 10 == 0 ? flipped.size() : operations + kTrailerBytes;
      flipped[flipped.size() - 1 - random() % range] ^= static_cast<std::byte>(1U << random() % 8);
    }
    const auto restored = BatchReader(kStorePages).restore(flipped, batch.original_bytes);
    ASSERT_TRUE(!restored || restored->size() == batch.original_bytes);
    if (!restored) ++refused;
  }
  EXPECT_GT(refused, 10'000U);
}

RC_GTEST_PROP(HostileBatch, NoiseGivesAnErrorOrBytes, (const std::vector<std::uint8_t>& operations)) {
  Forged forged = forge().content(*rc::gen::element<std::size_t>(0, 100, 2 * kPageSize));
  for (const auto byte : operations) forged.operations.push_back(static_cast<std::byte>(byte));
  const auto size = *rc::gen::inRange<std::size_t>(0, 50'000);
  const auto restored = BatchReader(kStorePages).restore(forged.bytes(), size);
  if (restored) RC_ASSERT(restored->size() == size);
}

}  // namespace
}  // namespace vmigrate::reduce
