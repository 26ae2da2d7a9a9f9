#include "reduce/lz4.hpp"

#include <random>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vmigrate::reduce {
namespace {

RC_GTEST_PROP(Lz4, AnyBytesComeBack, ()) {
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  const unsigned kinds = *rc::gen::element(1U, 4U, 256U);
  ByteBuffer bytes(*rc::gen::inRange<std::size_t>(0, 2'000'000));
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() % kinds);
  const auto unpacked = unpack_lz4(pack_lz4(bytes), bytes.size());
  RC_ASSERT(unpacked.has_value());
  RC_ASSERT(*unpacked == bytes);
}

TEST(Lz4, AnotherSizeOrOtherBytesAreRefused) {
  ByteBuffer bytes(10'000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / 10 % 7);
  const auto packed = pack_lz4(bytes);
  ASSERT_LT(packed.size(), bytes.size() / 2);
  EXPECT_FALSE(unpack_lz4(packed, bytes.size() - 1));
  EXPECT_FALSE(unpack_lz4(packed, bytes.size() + 1));
  for (std::size_t size = 0; size < packed.size(); ++size)
    EXPECT_FALSE(unpack_lz4(ByteView(packed).first(size), bytes.size())) << size;
}

}  // namespace
}  // namespace vmigrate::reduce
