#include "migration/batch_opening.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "reduce/method.hpp"

namespace vmigrate::migration {
namespace {

constexpr std::uint8_t kVersion = 5;

// Measured beside the sizes' own need, with two connections and batches of reduce::kUsualBatch: 10 to 18 MiB,
// with 768 KiB before the wire instead of up to peer::QueueBound::kMost.
// Each of up to six connections more keeps 512 KiB ahead, and TLS 256 KiB.
constexpr std::uint64_t kBeside = std::uint64_t{24} << 20;

}  // namespace

reduce::Sizes sizes_of_both(Bytes source, Bytes destination) {
  const auto both = std::min(source, destination).count;
  return reduce::sizes_within(both > kBeside ? both - kBeside : 0);
}

std::array<std::byte, kOpeningBytes> encode_opening(const reduce::Sizes& sizes) {
  const auto byte = [](std::size_t value, int shift = 0) {
    return static_cast<std::byte>(value >> shift & 0xff);
  };
  const auto pages = sizes.store_pages;
  return {byte(kVersion),  byte(static_cast<std::size_t>(sizes.window_log)),
          byte(0),         byte(0),
          byte(pages, 24), byte(pages, 16),
          byte(pages, 8),  byte(pages)};
}

Result<reduce::Sizes> parse_opening(ByteView bytes, Bytes budget) {
  const auto number = [&](std::size_t at) { return std::to_integer<std::size_t>(bytes[at]); };
  if (bytes.size() != kOpeningBytes || number(0) != kVersion || number(2) != 0 || number(3) != 0) {
    return fail(ErrorCode::refused, "the source begins the VM's memory in a way that this host does not know",
                "are the same versions of vmigrate on both hosts? see: vmigrate version");
  }
  const reduce::Sizes sizes{number(4) << 24 | number(5) << 16 | number(6) << 8 | number(7),
                            static_cast<int>(number(1))};
  if (sizes.window_log > reduce::kHighestWindowLog || reduce::memory_need(sizes) > budget.count) {
    return fail(ErrorCode::refused,
                fmt::format("the source asks for more memory to unpack with than the {} that it was granted",
                            vmigrate::to_string(budget)));
  }
  return sizes;
}

}  // namespace vmigrate::migration
