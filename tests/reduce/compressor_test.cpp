#include "reduce/compressor.hpp"

#include <random>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pages.hpp"
#include "reduce/decompressor.hpp"
#include "reduce/memory_need.hpp"

namespace vmigrate::reduce {
namespace {

constexpr int kWindowLog = 22;

/// Words from a small vocabulary: compresses about as well as memory does.
ByteBuffer text_like(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  ByteBuffer text;
  while (text.size() < size) {
    const auto word = static_cast<unsigned>(random() % 500);
    for (unsigned i = 0; i < 3 + word % 7; ++i)
      text.push_back(static_cast<std::byte>('a' + (word * 31 + i * 7) % 26));
    text.push_back(static_cast<std::byte>(random() % 256));
  }
  text.resize(size);
  return text;
}

RC_GTEST_PROP(Compressor, AnyBatchesByAnyMethodsComeBack, ()) {
  Compressor compressor(kLowestWindowLog);
  Decompressor decompressor(kLowestWindowLog);
  const auto batches = *rc::gen::inRange(1, 12);
  for (int i = 0; i < batches; ++i) {
    if (*rc::gen::inRange(0, 4) == 0) compressor.set_level(*rc::gen::inRange(-10, 5));
    const auto size = *rc::gen::inRange<std::size_t>(0, 400'000);
    const auto seed = *rc::gen::inRange(0U, 3U);
    const auto batch = *rc::gen::arbitrary<bool>() ? text_like(size, seed) : [&] {
      std::mt19937 random(seed);
      ByteBuffer noise(size);
      for (auto& byte : noise) byte = static_cast<std::byte>(random());
      return noise;
    }();
    const auto packed = compressor.pack(*rc::gen::element(Method::stored, Method::lz4, Method::zstd), batch);
    RC_ASSERT(packed.has_value());
    RC_ASSERT(packed->bytes.size() <= batch.size() + batch.size() / 128 + 256);  // see FrameHeader
    const auto unpacked = decompressor.unpack(packed->method, packed->bytes, batch.size());
    RC_ASSERT(unpacked.has_value());
    RC_ASSERT(*unpacked == batch);
  }
}

TEST(Compressor, EveryMethodMakesSmaller) {
  Compressor compressor(kWindowLog);
  const auto batch = text_like(1 << 20, 1);
  for (const auto method : {Method::lz4, Method::zstd}) {
    const auto packed = compressor.pack(method, batch);
    ASSERT_TRUE(packed);
    EXPECT_EQ(packed->method, method);
    EXPECT_LT(packed->bytes.size(), batch.size() * 2 / 3);
  }
}

TEST(Compressor, NoiseIsStoredRatherThanMadeLonger) {
  Compressor compressor(kWindowLog);
  const auto packed = compressor.pack(Method::lz4, noise_page(1));
  ASSERT_TRUE(packed);
  EXPECT_EQ(packed->method, Method::stored);
  EXPECT_EQ(packed->bytes, noise_page(1));
}

/// The size of `batch` packed after `between` batches of noise, when it was packed before them.
std::size_t size_after(Compressor& compressor, const ByteBuffer& batch, std::size_t between) {
  EXPECT_TRUE(compressor.pack(Method::zstd, batch));
  for (std::size_t i = 0; i < between; ++i)
    EXPECT_TRUE(compressor.pack(Method::zstd, text_like(1 << 20, 100 + static_cast<unsigned>(i))));
  return compressor.pack(Method::zstd, batch)->bytes.size();
}

TEST(Compressor, WhatPassedLongAgoIsReferredTo) {
  Compressor compressor(kWindowLog + 1);
  const auto noise = [] {
    ByteBuffer all;
    for (std::uint64_t page = 0; page < 256; ++page) {
      const auto one = noise_page(page);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }();
  EXPECT_LT(size_after(compressor, noise, 4), noise.size() / 50);
}

TEST(Compressor, LevelTakesEffectBetweenBatches) {
  const auto batch = text_like(1 << 20, 1);
  Compressor compressor(kWindowLog);
  Decompressor decompressor(kWindowLog);
  std::vector<std::size_t> sizes;
  for (const int level : {-20, 3, 3, 9}) {
    compressor.set_level(level);
    const auto packed = compressor.pack(Method::zstd, batch);
    ASSERT_TRUE(packed);
    sizes.push_back(packed->bytes.size());
    const auto unpacked = decompressor.unpack(Method::zstd, packed->bytes, batch.size());
    ASSERT_TRUE(unpacked) << unpacked.error().message;
    ASSERT_EQ(*unpacked, batch);
  }
  EXPECT_LT(sizes[1], sizes[0]);
  EXPECT_LT(sizes[2], sizes[1] / 50);  // the same level: the same stream goes on
}

TEST(Compressor, LevelIsBroughtIntoTheLimits) {
  Compressor compressor(99);
  compressor.set_level(22);
  EXPECT_EQ(compressor.level(), kHighestLevel);
  compressor.set_level(-1'000'000);
  EXPECT_EQ(compressor.level(), kLowestLevel);
}

TEST(Decompressor, SizeIsWhatWasSaid) {
  const auto batch = text_like(100'000, 1);
  for (const auto method : {Method::stored, Method::lz4, Method::zstd}) {
    const auto packed = Compressor(kWindowLog).pack(method, batch);
    for (const std::size_t size : {std::size_t{0}, batch.size() - 1, batch.size() + 1, batch.size() * 2}) {
      EXPECT_FALSE(Decompressor(kWindowLog).unpack(method, packed->bytes, size)) << size;
    }
    EXPECT_TRUE(Decompressor(kWindowLog).unpack(method, packed->bytes, batch.size()));
  }
}

TEST(Decompressor, LargerWindowIsRefused) {
  const auto batch = text_like(1'000, 1);
  const auto packed = Compressor(kWindowLog + 1).pack(Method::zstd, batch);
  ASSERT_TRUE(packed);
  EXPECT_FALSE(Decompressor(kWindowLog).unpack(Method::zstd, packed->bytes, batch.size()));
  EXPECT_TRUE(Decompressor(kWindowLog + 1).unpack(Method::zstd, packed->bytes, batch.size()));
}

TEST(Decompressor, OnlyZstdStreamsOfTodayAreTaken) {
  for (const auto version : std::to_array<std::uint8_t>({0x24, 0x25, 0x26, 0x27})) {  // older formats
    const std::array<std::uint8_t, 12> old{version, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0};
    const auto unpacked = Decompressor(kWindowLog).unpack(Method::zstd, std::as_bytes(std::span(old)), 0);
    ASSERT_FALSE(unpacked);
    EXPECT_NE(unpacked.error().message.find("no zstd stream"), std::string::npos);
  }
}

TEST(Decompressor, UnknownMethodIsRefused) {
  EXPECT_FALSE(Decompressor(kWindowLog).unpack(Method{9}, noise_page(1), kPageSize));
}

TEST(Decompressor, AfterABrokenBatchTheStreamIsOver) {
  Compressor compressor(kWindowLog);
  Decompressor decompressor(kWindowLog);
  const auto batch = text_like(10'000, 1);
  ASSERT_FALSE(decompressor.unpack(Method::zstd, noise_page(1), batch.size()));
  EXPECT_FALSE(decompressor.unpack(Method::zstd, compressor.pack(Method::zstd, batch)->bytes, batch.size()));
}

TEST(Decompressor, BrokenInputGivesAnErrorOrBytes) {
  const auto batch = text_like(20'000, 1);
  std::mt19937 random(3);
  for (const auto method : {Method::lz4, Method::zstd}) {
    const auto packed = Compressor(kLowestWindowLog).pack(method, batch)->bytes;
    for (std::size_t size = 0; size < packed.size(); size += 1 + random() % 100) {
      ASSERT_FALSE(Decompressor(kLowestWindowLog).unpack(method, ByteView(packed).first(size), batch.size()));
    }
    for (int round = 0; round < 3000; ++round) {
      auto flipped = packed;
      for (auto flips = random() % 3 + 1; flips > 0; --flips) {
        flipped[random() % (round % 2 == 0 ? 100 : flipped.size())] ^=
            static_cast<std::byte>(1U << random() % 8);
      }
      const auto unpacked = Decompressor(kLowestWindowLog).unpack(method, flipped, batch.size());
      ASSERT_TRUE(!unpacked || unpacked->size() == batch.size());
    }
  }
}

TEST(MemoryNeed, CoversWhatZstdTakesAndNotMuchMore) {
  for (const int window_log : {20, 23, 27}) {
    for (const int level : {1, 3}) {
      Compressor compressor(window_log);
      compressor.set_level(level);
      Decompressor decompressor(window_log);
      const auto batch = text_like(100'000, 1);
      ASSERT_TRUE(
          decompressor.unpack(Method::zstd, compressor.pack(Method::zstd, batch)->bytes, batch.size()));
      const auto track = memory_need({0, 1, window_log}) - memory_need({0, 0, window_log});
      EXPECT_LE(compressor.memory_used(), track) << window_log << " " << level;
      EXPECT_GE(compressor.memory_used() + 5 * kUsualBatch, track) << window_log << " " << level;
      EXPECT_LE(decompressor.memory_used(), track);
    }
  }
}

TEST(MemoryNeed, SizesKeepToTheBudgetAndUseIt) {
  constexpr std::uint64_t mebibyte = 1 << 20;
  for (std::uint64_t budget = 32 * mebibyte; budget <= 1024 * mebibyte; budget += 16 * mebibyte) {
    const auto sizes = sizes_within(budget);
    EXPECT_LE(memory_need(sizes), budget);
    EXPECT_GE(memory_need(sizes) + mebibyte, budget);
    EXPECT_GT(sizes.store_pages, 1000U);
  }
  EXPECT_EQ(sizes_within(0).store_pages, 0U);
  EXPECT_LE(memory_need(sizes_within(0)), 16 * mebibyte);
}

}  // namespace
}  // namespace vmigrate::reduce
