#include "stream/encoder.hpp"

#include <array>

#include "stream/format.hpp"

namespace vmigrate::stream {

void Encoder::opaque(ByteView bytes) {
  output_.insert(output_.end(), bytes.begin(), bytes.end());
}

void Encoder::block_table(const std::vector<RamBlock>& blocks) {
  blocks_ = blocks;
}

void Encoder::page(const PagePlace& place, ByteView content) {
  page_head(place, kRamPage);
  opaque(content);
}

void Encoder::zero_page(const PagePlace& place, std::byte fill) {
  page_head(place, kRamZero);
  output_.push_back(fill);
}

void Encoder::page_head(const PagePlace& place, std::uint64_t flag) {
  const std::uint64_t word = place.offset | flag | (place.named ? 0U : std::uint64_t{kRamContinue});
  std::array<std::byte, 8> big_endian;
  for (unsigned i = 0; i < 8; ++i) big_endian[i] = static_cast<std::byte>(word >> (56 - 8 * i) & 0xff);
  opaque(big_endian);
  if (!place.named) return;
  const auto& name = blocks_.at(place.block).name;
  output_.push_back(static_cast<std::byte>(name.size()));
  opaque(as_byte_view(name));
}

}  // namespace vmigrate::stream
