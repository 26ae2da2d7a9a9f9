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
#include "reduce/lz4.hpp"

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

ByteBuffer with_room(ByteView piece) {
  ByteBuffer buffer(BatchSender::kPieceHead);
  buffer.insert(buffer.end(), piece.begin(), piece.end());
  return buffer;
}

/// What a sender has to say, and nothing more.
ByteBuffer frame_of(reduce::Method method, ByteView bytes) {
  const auto header = reduce::encode(reduce::FrameHeader{method, static_cast<std::uint32_t>(bytes.size())});
  ByteBuffer frame(header.begin(), header.end());
  frame.insert(frame.end(), bytes.begin(), bytes.end());
  return frame;
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
      if (*rc::gen::inRange(0, 4) == 0) {
        const ByteBuffer piece(*rc::gen::inRange<std::size_t>(1, BatchSender::kMostPiece + 1),
                               static_cast<std::byte>(i));
        expected.insert(expected.end(), piece.begin(), piece.end());
        RC_ASSERT(sender.send_as_it_is(with_room(piece)).has_value());
        continue;
      }
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
    ASSERT_TRUE(sender.send(batch_of(1'000, 3), Effort::light, true));
    ASSERT_TRUE(sender.send_as_it_is(with_room(ByteBuffer(1'000))));
    ASSERT_TRUE(sender.finish());
  }
  for (std::size_t size = kOpeningBytes + 1; size < wire.bytes.size(); ++size) {
    const auto stream = receive(ByteView(wire.bytes).first(size), size);
    // Between two frames one may stop: that it was not all, the lane says (StripedReceiver).
    if (stream) {
      EXPECT_LT(stream->size(), 4'000U) << size;
    }
  }
  EXPECT_FALSE(receive(ByteView(wire.bytes).first(kOpeningBytes + 4), 100));
}

TEST(Batches, NothingComesInTheMiddleOfABatch) {
  for (const auto method : {reduce::Method::as_it_is, reduce::Method::lz4}) {
    const auto batch = batch_of(1'000, 1);
    const auto head = reduce::encode(reduce::BatchHeader{static_cast<std::uint32_t>(batch.bytes.size()),
                                                         static_cast<std::uint32_t>(batch.original_bytes)});
    auto block = copy_of(head);
    const auto packed = reduce::pack_lz4(batch.bytes);
    block.insert(block.end(), packed.begin(), packed.end());
    for (const std::size_t begun : {std::size_t{0}, std::size_t{4}, std::size_t{8}, std::size_t{500}}) {
      const auto opening = encode_opening(sizes_of_both(kBudget, kBudget));
      ByteBuffer bytes(opening.begin(), opening.end());
      auto whole = copy_of(head);
      whole.insert(whole.end(), batch.bytes.begin(), batch.bytes.end());
      if (begun > 0) {
        const auto first = frame_of(reduce::Method::stored, ByteView(whole).first(begun));
        bytes.insert(bytes.end(), first.begin(), first.end());
      }
      const auto second = frame_of(method, block);
      bytes.insert(bytes.end(), second.begin(), second.end());
      const auto stream = receive(bytes, 100'000);
      ASSERT_EQ(stream.has_value(), begun == 0);
      if (stream) continue;
      EXPECT_EQ(stream.error().message, "the source has broken off a batch of the VM's memory");
    }
  }
}

TEST(Batches, ABlockThatIsNotWhatItSaysIsRefused) {
  const auto batch = batch_of(1'000, 1);
  const auto packed = reduce::pack_lz4(batch.bytes);
  for (const int more : {-1, 1, 1000}) {
    const auto head = reduce::encode(
        reduce::BatchHeader{static_cast<std::uint32_t>(static_cast<int>(batch.bytes.size()) + more),
                            static_cast<std::uint32_t>(batch.original_bytes)});
    auto block = copy_of(head);
    block.insert(block.end(), packed.begin(), packed.end());
    const auto opening = encode_opening(sizes_of_both(kBudget, kBudget));
    ByteBuffer bytes(opening.begin(), opening.end());
    const auto frame = frame_of(reduce::Method::lz4, block);
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    EXPECT_FALSE(receive(bytes, 100'000)) << more;
  }
}

TEST(Batches, NoiseIsRefused) {
  std::mt19937 random(1);
  const auto opening = encode_opening(sizes_of_both(kBudget, kBudget));
  const auto head = reduce::encode(reduce::BatchHeader{1'000, 900});
  constexpr std::array kMethods{reduce::Method::stored, reduce::Method::zstd_far, reduce::Method::zstd_near,
                                reduce::Method::lz4};
  for (int round = 0; round < 500; ++round) {
    auto noise = round % 2 == 0 ? copy_of(head) : ByteBuffer();
    for (int i = 0; i < 300; ++i) noise.push_back(static_cast<std::byte>(random()));
    const auto frame = frame_of(kMethods[static_cast<std::size_t>(round) % kMethods.size()], noise);
    ByteBuffer bytes(opening.begin(), opening.end());
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    EXPECT_FALSE(receive(bytes, 50));
  }
}

}  // namespace
}  // namespace vmigrate::migration
