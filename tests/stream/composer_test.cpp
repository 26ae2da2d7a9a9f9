#include "stream/composer.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "recorder.hpp"
#include "stream/description_filter.hpp"
#include "stream/format.hpp"

namespace vmigrate::stream {
namespace {

const std::vector<RamBlock> kBlocks{{"low", 64 * kPageSize}, {"high", 16 * kPageSize}};

ByteBuffer page_of(char letter) {
  return ByteBuffer(kPageSize, static_cast<std::byte>(letter));
}

Composer until_ram() {
  Composer composer;
  composer.head("vmigrate");
  composer.own_section("needs", 1, as_byte_view("what is needed"));
  composer.ram_begin(kBlocks);
  return composer;
}

TEST(Composer, TheDecoderReadsIt) {
  auto composer = until_ram();
  composer.part();
  composer.page(0, kPageSize, page_of('a'));
  composer.zero_page(0, 2 * kPageSize);
  composer.page(1, 0, page_of('b'));
  composer.end_part();
  composer.last_part();
  composer.page(0, kPageSize, page_of('c'));
  composer.end_part();
  composer.own_section("state", 1, as_byte_view("everything else"));
  composer.end();
  Decoder decoder;
  const auto result = decode_in_pieces(composer.output(), decoder, [] { return std::size_t{7}; });
  EXPECT_EQ(decoder.opaque_reason(), "");
  EXPECT_EQ(result.encoder.output(), composer.output());
  EXPECT_EQ(result.log, (std::vector<std::string>{"blocks", "page 0:1 a", "zero 0:2", "page 1:0 b",
                                                  "last pages", "page 0:1 c", "ram end"}));
  EXPECT_EQ(result.table.at(1).name, "high");
  EXPECT_EQ(result.table.at(1).size, 16 * kPageSize);
}

RC_GTEST_PROP(Composer, AnyPagesInAnyPartsAreRead, ()) {
  auto composer = until_ram();
  std::vector<std::string> expected{"blocks"};
  composer.part();
  for (const int kind : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 5))) {
    const auto block = *rc::gen::inRange<std::size_t>(0, kBlocks.size());
    const auto index = *rc::gen::inRange<std::uint64_t>(0, kBlocks[block].size / kPageSize);
    if (kind < 2) {
      composer.page(block, index * kPageSize, page_of('x'));
      expected.push_back(fmt::format("page {}:{} x", block, index));
    } else if (kind < 4) {
      composer.zero_page(block, index * kPageSize);
      expected.push_back(fmt::format("zero {}:{}", block, index));
    } else {
      composer.end_part();
      composer.part();
    }
  }
  composer.end_part();
  const auto piece = *rc::gen::inRange<std::size_t>(1, 10'000);
  Decoder decoder;
  const auto result = decode_in_pieces(composer.output(), decoder, [&] { return piece; });
  RC_ASSERT(decoder.opaque_reason().empty());
  RC_ASSERT(result.log == expected);
  RC_ASSERT(result.encoder.output() == composer.output());
}

RC_GTEST_PROP(Composer, OwnSectionsOfAnySizeStandBeforeMemory, ()) {
  const auto size = *rc::gen::inRange<std::size_t>(0, 3 * kPageSize);
  Composer composer;
  composer.head("vmigrate");
  composer.own_section("a", 1, ByteBuffer(size, std::byte{kSectionFull}));
  composer.own_section("b", 2, ByteBuffer(3, std::byte{9}));
  composer.ram_begin(kBlocks);
  const auto piece = *rc::gen::inRange<std::size_t>(1, 10'000);
  Decoder decoder;
  const auto result = decode_in_pieces(composer.output(), decoder, [&] { return piece; });
  RC_ASSERT(decoder.opaque_reason().empty());
  RC_ASSERT(result.log == std::vector<std::string>{"blocks"});
  RC_ASSERT(result.encoder.output() == composer.output());
}

TEST(Composer, ItsEndIsFoundLikeThatOfQemus) {
  Composer composer;
  composer.own_section("state", 1, as_byte_view("everything else"));
  composer.end();
  for (std::size_t split = 0; split <= composer.output().size(); ++split) {
    DescriptionFilter filter;
    ByteBuffer out;
    filter.feed(ByteView(composer.output()).first(split), out);
    EXPECT_EQ(filter.is_complete(), split == composer.output().size());
    if (split == composer.output().size()) break;
    filter.feed(ByteView(composer.output()).subspan(split), out);
    EXPECT_TRUE(filter.is_complete()) << split;
    EXPECT_EQ(out, composer.output()) << split;
  }
}

}  // namespace
}  // namespace vmigrate::stream
