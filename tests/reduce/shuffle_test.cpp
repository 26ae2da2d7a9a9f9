#include "reduce/shuffle.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pages.hpp"
#include "reduce/compressor.hpp"
#include "reduce/lz4.hpp"

namespace vmigrate::reduce {
namespace {

ByteBuffer shuffled(ByteView page) {
  ByteBuffer out;
  append_shuffled(page, out);
  return out;
}

RC_GTEST_PROP(Shuffle, IsUndone, (std::uint64_t seed)) {
  const auto page = noise_page(seed);
  ByteBuffer again(kPageSize);
  unshuffle(shuffled(page), again);
  RC_ASSERT(again == page);
}

TEST(Shuffle, PutsTheSameBytesOfAllElementsSideBySide) {
  ByteBuffer page(kPageSize);
  for (std::size_t at = 0; at < kPageSize; ++at) page[at] = static_cast<std::byte>(at % kShuffledElement);
  const auto out = shuffled(page);
  for (std::size_t at = 0; at < kPageSize; ++at)
    ASSERT_EQ(std::to_integer<std::size_t>(out[at]), at / (kPageSize / kShuffledElement)) << at;
}

TEST(Shuffle, ArraysAreToldFromWhatIsNone) {
  std::string text;
  for (int line = 0; text.size() < kPageSize; ++line)
    text += "line " + std::to_string(line * 7919) + ": nothing that would repeat every 64 bytes\n";
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    EXPECT_TRUE(is_worth_shuffling(array_page(seed))) << seed;
    EXPECT_FALSE(is_worth_shuffling(noise_page(seed))) << seed;
  }
  EXPECT_FALSE(is_worth_shuffling(as_byte_view(text).first(kPageSize)));
  // Nothing but zeros packs as well as it can.
  EXPECT_FALSE(is_worth_shuffling(ByteBuffer(kPageSize)));
}

std::size_t packed_by_zstd(ByteView bytes) {
  Compressor compressor(Reach::near, 20, 1);
  ByteBuffer out;
  EXPECT_TRUE(compressor.pack(bytes, out) && compressor.flush(out));
  return out.size();
}

TEST(Shuffle, ArraysPackBetter) {
  ByteBuffer plain;
  ByteBuffer better;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    const auto page = array_page(seed);
    plain.insert(plain.end(), page.begin(), page.end());
    append_shuffled(page, better);
  }
  EXPECT_LT(packed_by_zstd(better) * 10, packed_by_zstd(plain) * 9);
  EXPECT_LT(pack_lz4(better).size() * 10, pack_lz4(plain).size() * 9);
}

}  // namespace
}  // namespace vmigrate::reduce
