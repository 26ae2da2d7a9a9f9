#include "reduce/frame_header.hpp"

#include <string>

#include "reduce/operations.hpp"

namespace vmigrate::reduce {
namespace {

void put(std::array<std::byte, kFrameHeaderBytes>& out, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) out[at + i] = static_cast<std::byte>(value >> (24 - 8 * i) & 0xff);
}

std::uint32_t number(ByteView bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (const std::byte byte : bytes.subspan(at, 4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

tl::unexpected<Error> broken(const std::string& why) {
  return fail(ErrorCode::failed, "the head of a packed batch is broken: " + why);
}

// Neither lz4 nor zstd makes what cannot be packed longer by more than this.
constexpr std::size_t most_packed_bytes(std::size_t batch_bytes) {
  return batch_bytes + batch_bytes / 128 + 256;
}

}  // namespace

std::array<std::byte, kFrameHeaderBytes> encode(const FrameHeader& header) {
  std::array<std::byte, kFrameHeaderBytes> out{};
  out[0] = static_cast<std::byte>(header.method);
  out[1] = static_cast<std::byte>(header.track);
  put(out, 4, header.packed_bytes);
  put(out, 8, header.batch_bytes);
  put(out, 12, header.original_bytes);
  return out;
}

Result<FrameHeader> parse_frame_header(ByteView bytes, std::size_t tracks) {
  if (bytes.size() != kFrameHeaderBytes) return broken("it has the wrong length");
  const auto method = std::to_integer<std::uint8_t>(bytes[0]);
  if (method < static_cast<std::uint8_t>(Method::stored) ||
      method > static_cast<std::uint8_t>(Method::zstd)) {
    return broken("its method is unknown");
  }
  const FrameHeader header{static_cast<Method>(method), std::to_integer<std::uint8_t>(bytes[1]),
                           number(bytes, 4), number(bytes, 8), number(bytes, 12)};
  if (header.track >= tracks) return broken("its track is none of those agreed on");
  if (bytes[2] != std::byte{} || bytes[3] != std::byte{}) return broken("it says more than is known");
  if (header.original_bytes > kMostOriginalBytes) return broken("the batch stands for too much");
  if (header.batch_bytes < kTrailerBytes || header.batch_bytes > most_batch_bytes(header.original_bytes)) {
    return broken("the batch cannot be that long");
  }
  const std::size_t most =
      header.method == Method::stored ? header.batch_bytes : most_packed_bytes(header.batch_bytes);
  if (header.packed_bytes > most || (header.method == Method::stored && header.packed_bytes != most)) {
    return broken("what is packed cannot be that long");
  }
  return header;
}

}  // namespace vmigrate::reduce
