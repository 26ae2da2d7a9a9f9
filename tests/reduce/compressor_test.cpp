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
constexpr int kWorkers = 2;

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

ByteBuffer noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  ByteBuffer bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// `bytes`, packed and flushed.
ByteBuffer pack(Compressor& compressor, ByteView bytes) {
  ByteBuffer packed;
  EXPECT_TRUE(compressor.pack(bytes, packed));
  EXPECT_TRUE(compressor.flush(packed));
  return packed;
}

Result<ByteBuffer> unpack(Decompressor& decompressor, ByteView packed) {
  ByteBuffer bytes;
  auto done = decompressor.unpack(packed, [&](ByteView part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return Result<>();
  });
  if (!done) return fail(done.error());
  return bytes;
}

RC_GTEST_PROP(Compressor, AnyBytesComeBackHoweverTheyAreCutAndFlushed, ()) {
  const auto reach = *rc::gen::element(Reach::near, Reach::far);
  Compressor compressor(reach, kLowestWindowLog, *rc::gen::inRange(1, 4));
  Decompressor decompressor(kLowestWindowLog);
  ByteBuffer all;
  ByteBuffer packed;
  ByteBuffer unpacked;
  const auto pieces = *rc::gen::inRange(1, 12);
  for (int i = 0; i < pieces; ++i) {
    const auto size = *rc::gen::inRange<std::size_t>(0, 2'000'000);
    const auto seed = *rc::gen::inRange(0U, 3U);
    const auto piece = *rc::gen::arbitrary<bool>() ? text_like(size, seed) : noise(size, seed);
    all.insert(all.end(), piece.begin(), piece.end());
    RC_ASSERT(compressor.pack(piece, packed).has_value());
    const bool flushed = *rc::gen::inRange(0, 3) == 0 || i == pieces - 1;
    if (flushed) RC_ASSERT(compressor.flush(packed).has_value());
    const auto part = *rc::gen::inRange<std::size_t>(1, packed.size() + 2);
    for (std::size_t at = 0; at < packed.size(); at += part) {
      const auto some =
          unpack(decompressor, ByteView(packed).subspan(at, std::min(part, packed.size() - at)));
      RC_ASSERT(some.has_value());
      unpacked.insert(unpacked.end(), some->begin(), some->end());
    }
    packed.clear();
    RC_ASSERT(!flushed || unpacked == all);
  }
}

TEST(Compressor, WhatPassedLongAgoIsReferredTo) {
  Compressor compressor(Reach::far, kWindowLog + 1, kWorkers);
  const auto once = noise(1 << 20, 1);
  pack(compressor, once);
  for (unsigned i = 0; i < 4; ++i) pack(compressor, text_like(1 << 20, 100 + i));
  EXPECT_LT(pack(compressor, once).size(), once.size() / 50);
}

TEST(Compressor, ANearOneLooksNoFurtherThanItsPiece) {
  Compressor compressor(Reach::near, kWindowLog + 1, kWorkers);
  const auto once = noise(1 << 20, 1);
  pack(compressor, once);
  for (unsigned i = 0; i < 4; ++i) pack(compressor, text_like(1 << 20, 100 + i));
  EXPECT_GT(pack(compressor, once).size(), once.size());
}

TEST(Decompressor, LargerWindowIsRefused) {
  Compressor compressor(Reach::far, kWindowLog + 1, kWorkers);
  const auto packed = pack(compressor, text_like(1'000, 1));
  Decompressor small(kWindowLog);
  EXPECT_FALSE(unpack(small, packed));
  Decompressor large(kWindowLog + 1);
  EXPECT_TRUE(unpack(large, packed));
}

TEST(Decompressor, OnlyZstdStreamsOfTodayAreTaken) {
  for (const auto version : std::to_array<std::uint8_t>({0x24, 0x25, 0x26, 0x27})) {  // older formats
    const std::array<std::uint8_t, 12> old{version, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0};
    Decompressor decompressor(kWindowLog);
    const auto unpacked = unpack(decompressor, std::as_bytes(std::span(old)));
    ASSERT_FALSE(unpacked);
    EXPECT_NE(unpacked.error().message.find("no zstd stream"), std::string::npos);
  }
}

TEST(Decompressor, AStreamThatEndsIsRefused) {
  // An empty frame, by RFC 8878: magic, window of 1 KiB, one raw block that is the last and has no bytes.
  const std::array<std::uint8_t, 9> empty{0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0};
  Decompressor decompressor(kWindowLog);
  EXPECT_FALSE(unpack(decompressor, std::as_bytes(std::span(empty))));
}

TEST(Decompressor, AfterAnErrorTheStreamIsOver) {
  Compressor compressor(Reach::far, kWindowLog, kWorkers);
  Decompressor decompressor(kWindowLog);
  ASSERT_FALSE(unpack(decompressor, noise_page(1)));
  EXPECT_FALSE(unpack(decompressor, pack(compressor, text_like(10'000, 1))));
}

TEST(Decompressor, AnErrorOfTheSinkIsFinal) {
  Compressor compressor(Reach::far, kWindowLog, kWorkers);
  Decompressor decompressor(kWindowLog);
  const auto refuse = [](ByteView) -> Result<> { return fail(ErrorCode::failed, "no room"); };
  const auto refused = decompressor.unpack(pack(compressor, text_like(10'000, 1)), refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "no room");
  EXPECT_FALSE(unpack(decompressor, pack(compressor, text_like(10'000, 1))));
}

TEST(Decompressor, BrokenInputGivesAnErrorOrBytes) {
  Compressor compressor(Reach::far, kLowestWindowLog, 1);
  const auto packed = pack(compressor, text_like(20'000, 1));
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    auto flipped = packed;
    for (auto flips = random() % 3 + 1; flips > 0; --flips) {
      flipped[random() % (round % 2 == 0 ? 100 : flipped.size())] ^=
          static_cast<std::byte>(1U << random() % 8);
    }
    Decompressor decompressor(kLowestWindowLog);
    const auto unpacked = unpack(decompressor, flipped);
    ASSERT_TRUE(!unpacked || unpacked->size() <= std::size_t{1} << 20);
  }
}

// How much of it zstd has taken by then depends on which workers have had something to do.
TEST(MemoryNeed, CoversWhatZstdTakes) {
  for (const int window_log : {20, 23, 25, 27}) {
    Compressor compressor(Reach::far, window_log, kMostWorkers);
    Decompressor decompressor(window_log);
    ASSERT_TRUE(unpack(decompressor, pack(compressor, text_like(8 << 20, 1))));
    // One of the other kind stands beside it.
    Compressor near(Reach::near, kNearWindowLog, kMostWorkers);
    Decompressor near_decompressor(kNearWindowLog);
    ASSERT_TRUE(unpack(near_decompressor, pack(near, text_like(8 << 20, 1))));
    const auto need = memory_need({0, window_log});
    EXPECT_LE(compressor.memory_used() + near.memory_used(), need) << window_log;
    EXPECT_LE(decompressor.memory_used() + near_decompressor.memory_used(), need);
  }
}

TEST(MemoryNeed, SizesKeepToTheBudgetAndUseIt) {
  constexpr std::uint64_t mebibyte = 1 << 20;
  for (std::uint64_t budget = 48 * mebibyte; budget <= 1024 * mebibyte; budget += 16 * mebibyte) {
    const auto sizes = sizes_within(budget);
    EXPECT_LE(memory_need(sizes), budget);
    EXPECT_GE(memory_need(sizes) + mebibyte, budget);
    EXPECT_GT(sizes.store_pages, 1000U);
  }
  EXPECT_EQ(sizes_within(0).store_pages, 0U);
  EXPECT_LE(memory_need(sizes_within(0)), 40 * mebibyte);
}

}  // namespace
}  // namespace vmigrate::reduce
