// What a BatchSender makes of a stream and a BatchReceiver makes of that.

#include <array>
#include <functional>
#include <future>
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
    for (const auto part : parts) {
      bytes.insert(bytes.end(), part.begin(), part.end());
      if (forward) forward(part);
    }
    return {};
  }
  Result<> finish() override { return {}; }
  std::chrono::nanoseconds waited() const override { return {}; }

  ByteBuffer bytes;
  std::atomic<bool> broken = false;
  std::function<void(ByteView)> forward;
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
  constexpr auto kPairs = std::to_array<std::pair<Effort, Effort>>({{Effort::none, Effort::none},
                                                                    {Effort::light, Effort::light},
                                                                    {Effort::strong, Effort::strong},
                                                                    {Effort::light, Effort::strong}});
  for (const auto& [first, second] : kPairs) {
    Wire wire;
    BatchSender sender(wire, sizes_of_both(kBudget, kBudget));
    std::size_t restored = 0;
    std::promise<void> all_here;
    BatchReceiver receiver(kBudget, [&](ByteView some) -> Result<> {
      restored += some.size();
      if (restored == 200'000) all_here.set_value();
      return {};
    });
    wire.forward = [&](ByteView some) { ASSERT_TRUE(receiver.feed(some)); };
    ASSERT_TRUE(receiver.feed(wire.bytes));  // the opening
    ASSERT_TRUE(sender.send(batch_of(100'000, 1), first, false));
    ASSERT_TRUE(sender.send(batch_of(100'000, 2), second, true));
    // Nothing else comes: no finish() brings out what is held back.
    all_here.get_future().wait();
    wire.forward = nullptr;
    ASSERT_TRUE(sender.finish());
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
  constexpr std::array kMethods{reduce::Method::stored, reduce::Method::zstd_far, reduce::Method::zstd_near};
  for (int round = 0; round < 500; ++round) {
    ByteBuffer bytes(opening.begin(), opening.end());
    bytes.push_back(static_cast<std::byte>(kMethods[static_cast<std::size_t>(round) % 3]));
    bytes.insert(bytes.end(), 4, std::byte{});
    for (int i = 0; i < 300; ++i) bytes.push_back(static_cast<std::byte>(random()));
    const auto stream = receive(bytes, 50);
    EXPECT_FALSE(stream);
  }
}

}  // namespace
}  // namespace vmigrate::migration
