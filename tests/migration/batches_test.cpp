// What a BatchSender makes of a stream and a BatchReceiver makes of that.

#include <random>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "migration/batch_opening.hpp"
#include "migration/batch_receiver.hpp"
#include "migration/batch_sender.hpp"
#include "reduce/batch_writer.hpp"

namespace vmigrate::migration {
namespace {

constexpr Bytes kBudget{std::uint64_t{64} << 20};

class Wire : public peer::BulkSender {
 public:
  Result<> write_parts(Parts parts) override {
    if (broken) return fail(ErrorCode::unreachable, "the wire is cut");
    for (const auto part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Result<> finish() override { return {}; }
  std::chrono::nanoseconds waited() const override { return {}; }

  ByteBuffer bytes;
  std::atomic<bool> broken = false;
};

/// `size` bytes as opaque records: every byte is to come back.
reduce::Batch batch_of(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  ByteBuffer bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 16);
  reduce::BatchWriter writer(0);
  writer.opaque(bytes);
  return writer.take();
}

Result<ByteBuffer> receive(ByteView bytes, std::size_t part) {
  ByteBuffer stream;
  BatchReceiver receiver(kBudget, [&](ByteView some) {
    stream.insert(stream.end(), some.begin(), some.end());
    return Result<>();
  });
  while (!bytes.empty()) {
    const auto some = bytes.first(std::min(part, bytes.size()));
    bytes = bytes.subspan(some.size());
    if (auto fed = receiver.feed(some); !fed) return fail(fed.error());
  }
  if (auto finished = receiver.finish(); !finished) return fail(finished.error());
  return stream;
}

RC_GTEST_PROP(Batches, ComeBackInOrderWhateverWasDoneToThem, ()) {
  Wire wire;
  reduce::BatchReader reader(0);
  ByteBuffer expected;
  {
    BatchSender sender(wire, sizes_of_both(kBudget, kBudget));
    const auto count = *rc::gen::inRange(1U, 20U);
    for (unsigned i = 0; i < count; ++i) {
      auto batch = batch_of(*rc::gen::inRange<std::size_t>(1, 1'000'000), i);
      const auto original = reader.restore(batch.bytes, batch.original_bytes);
      expected.insert(expected.end(), original->begin(), original->end());
      const auto effort = static_cast<Effort>(*rc::gen::inRange(0, static_cast<int>(kEfforts)));
      RC_ASSERT(sender.send(std::move(batch), effort, *rc::gen::arbitrary<bool>()).has_value());
    }
    RC_ASSERT(sender.finish().has_value());
    RC_ASSERT(sender.wire_bytes() + kOpeningBytes == wire.bytes.size());
  }
  const auto stream = receive(wire.bytes, *rc::gen::inRange<std::size_t>(1, 200'000));
  RC_ASSERT(stream.has_value());
  RC_ASSERT(*stream == expected);
}

TEST(Batches, WhatIsSentAtOnceCanBeRestoredAtOnce) {
  for (const auto effort : {Effort::none, Effort::light, Effort::strong}) {
    Wire wire;
    BatchSender sender(wire, sizes_of_both(kBudget, kBudget));
    ASSERT_TRUE(sender.send(batch_of(100'000, 1), effort, false));
    ASSERT_TRUE(sender.send(batch_of(100'000, 2), effort, true));
    ASSERT_TRUE(sender.finish());
    const auto stream = receive(wire.bytes, 1 << 20);
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_EQ(stream->size(), 200'000U);
  }
}

TEST(Batches, ACutWireEndsTheSender) {
  for (const auto effort : {Effort::none, Effort::medium}) {
    Wire wire;
    BatchSender sender(wire, sizes_of_both(kBudget, kBudget));
    wire.broken = true;
    while (sender.send(batch_of(1'000'000, 1), effort, false)) {
    }
    EXPECT_EQ(sender.finish().error().message, "the wire is cut");
  }
}

TEST(Batches, AnEndInTheMiddleIsNoEnd) {
  Wire wire;
  {
    BatchSender sender(wire, sizes_of_both(kBudget, kBudget));
    ASSERT_TRUE(sender.send(batch_of(1'000, 1), Effort::none, true));
    ASSERT_TRUE(sender.send(batch_of(1'000, 2), Effort::strong, true));
    ASSERT_TRUE(sender.finish());
  }
  for (std::size_t size = kOpeningBytes + 1; size < wire.bytes.size(); ++size) {
    const auto stream = receive(ByteView(wire.bytes).first(size), size);
    // Between two frames one may stop: that it was not all, the lane says (StripedReceiver).
    if (stream) {
      EXPECT_LT(stream->size(), 2'000U) << size;
    }
  }
  EXPECT_FALSE(receive(ByteView(wire.bytes).first(kOpeningBytes + 4), 100));
}

TEST(Batches, NoiseIsRefused) {
  std::mt19937 random(1);
  const auto opening = encode_opening(sizes_of_both(kBudget, kBudget));
  for (int round = 0; round < 500; ++round) {
    ByteBuffer bytes(opening.begin(), opening.end());
    bytes.push_back(
        static_cast<std::byte>(round % 2 == 0 ? reduce::Method::stored : reduce::Method::zstd_far));
    bytes.insert(bytes.end(), 4, std::byte{});
    for (int i = 0; i < 300; ++i) bytes.push_back(static_cast<std::byte>(random()));
    const auto stream = receive(bytes, 50);
    EXPECT_FALSE(stream);
  }
}

}  // namespace
}  // namespace vmigrate::migration
