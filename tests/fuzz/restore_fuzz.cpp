// The destination's half of the reduction, from the memory lane's first byte: what comes out is no more than
// was said and is told as said; and whatever content the source's half makes smaller, this one restores.
#include "../reduce/pages.hpp"
#include "../stream/sample_stream.hpp"
#include "fuzz.hpp"
#include "migration/batch_opening.hpp"
#include "migration/batch_receiver.hpp"
#include "reduce/compressor.hpp"
#include "reduce/frame_header.hpp"
#include "reduce/lz4.hpp"
#include "stream/decoder.hpp"

namespace vmigrate::fuzz {
namespace {

constexpr Bytes kBudget{std::uint64_t{64} << 20};
constexpr std::size_t kStorePages = 8;

enum Form : std::uint8_t { lane, batch, content };
constexpr std::uint32_t kForms = 3;

/// All that a peer could send on the memory lane.
void check_lane(Input in) {
  std::size_t restored = 0;
  migration::BatchReceiver receiver(kBudget, [&](ByteView bytes) -> Result<> {
    restored += bytes.size();
    return {};
  });
  const auto piece = in.number(1) * 16 + 1;
  while (!in.empty()) {
    if (!receiver.feed(in.take(piece))) return;
  }
  static_cast<void>(receiver.finish());
}

/// Several batches of one writer, as they would have been unpacked.
void check_batches(Input in) {
  reduce::BatchReader reader(kStorePages);
  while (!in.empty()) {
    const auto original_bytes = in.number(3);
    const auto restored = reader.restore(in.piece(), original_bytes);
    if (!restored) {
      require(!reader.restore({}, 0), "after an error nothing is restored");
      return;
    }
    require(restored->size() == original_bytes, "exactly as much comes out as was said");
  }
}

/// Pages whose content, place and order the input chooses, across both ends.
void check_content(Input in) {
  reduce::BothEnds ends(kStorePages);
  ends.block_table({{"pc.ram", 1 << 20}, {"vga", 1 << 16}});
  while (!in.empty()) {
    const auto choice = in.number(1);
    const stream::PagePlace place{choice % 2, std::uint64_t{in.number(1) % 16} * stream::kPageSize,
                                  choice % 4 == 2};
    if (choice % 32 == 31) {
      ends.writer.went_as_it_is(place);
      continue;
    }
    // Few contents, so that many are alike; and a few words that differ.
    ByteBuffer page = reduce::noise_page(in.number(1) % 4);
    const auto words = in.piece();
    const auto at = choice % 64 * 8;
    std::ranges::copy(words.first(std::min(words.size(), page.size() - at)), page.begin() + at);
    if (choice % 8 == 5)
      ends.zero_page(place, std::byte{0});
    else if (choice % 8 == 6)
      ends.opaque(words);
    else
      ends.page(place, page);
    if (choice >= 200) require(ends.exchange(), "what was made smaller is restored");
  }
  require(ends.exchange(), "what was made smaller is restored");
}

ByteBuffer reduced_sample() {
  reduce::BatchWriter writer(kStorePages);
  stream::Decoder decoder;
  const auto sample = stream::sample_stream();
  decoder.feed(sample, writer);
  decoder.finish(writer);
  const auto taken = writer.take();
  ByteBuffer bytes;
  const auto head = encode(reduce::BatchHeader{static_cast<std::uint32_t>(taken.bytes.size()),
                                               static_cast<std::uint32_t>(taken.original_bytes)});
  bytes.insert(bytes.end(), head.begin(), head.end());
  bytes.insert(bytes.end(), taken.bytes.begin(), taken.bytes.end());
  return bytes;
}

Seed& framed(Seed& seed, reduce::Method method, ByteView bytes) {
  return seed.raw(encode(reduce::FrameHeader{method, static_cast<std::uint32_t>(bytes.size())})).raw(bytes);
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  const auto reduced = reduced_sample();
  const auto opening = migration::encode_opening({kStorePages, reduce::kLowestWindowLog});
  Seed stored;
  framed(stored.number(lane, 1).number(30, 1).raw(opening), reduce::Method::stored, reduced);
  reduce::Compressor compressor(reduce::Reach::near, reduce::kNearWindowLog, 1);
  ByteBuffer packed;
  static_cast<void>(compressor.pack(reduced, packed));
  static_cast<void>(compressor.flush(packed));
  Seed zipped;
  framed(zipped.number(lane, 1).number(30, 1).raw(opening), reduce::Method::zstd_near, packed);
  const auto [head, body] = std::pair(ByteView(reduced).first(reduce::kHeaderBytes),
                                      ByteView(reduced).subspan(reduce::kHeaderBytes));
  Seed block;
  block.raw(head).raw(reduce::pack_lz4(body));
  Seed mixed;
  framed(mixed.number(lane, 1).number(30, 1).raw(opening), reduce::Method::lz4, block.bytes());
  framed(mixed, reduce::Method::as_it_is, stream::sample_stream());
  framed(mixed, reduce::Method::stored, reduced);
  Seed one;
  one.number(batch, 1).number(reduce::parse_batch_header(head)->original_bytes, 3).piece(body);
  Seed pages;
  pages.number(content, 1);
  for (unsigned i = 0; i < 40; ++i)
    pages.number(i * 37 % 256, 1).number(i * 5 % 16, 1).number(i % 4, 1).piece(std::string(i % 20, 'w'));
  return {stored.bytes(), zipped.bytes(), mixed.bytes(), one.bytes(), pages.bytes()};
}

void check(ByteView input) {
  Input in(input);
  switch (static_cast<Form>(in.number(1) % kForms)) {
    case lane: return check_lane(in);
    case batch: return check_batches(in);
    case content: return check_content(in);
  }
}

}  // namespace vmigrate::fuzz
