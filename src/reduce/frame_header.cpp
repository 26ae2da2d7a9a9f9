#include "reduce/frame_header.hpp"

#include <string>

#include "reduce/operations.hpp"

namespace vmigrate::reduce {
namespace {

using Header = std::array<std::byte, kHeaderBytes>;

Header encode(std::uint32_t first, std::uint32_t second) {
  Header out{};
  for (std::size_t i = 0; i < 4; ++i) {
    out[i] = static_cast<std::byte>(first >> (24 - 8 * i) & 0xff);
    out[4 + i] = static_cast<std::byte>(second >> (24 - 8 * i) & 0xff);
  }
  return out;
}

std::uint32_t number(ByteView bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (const std::byte byte : bytes.subspan(at, 4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

tl::unexpected<Error> broken_header(const std::string& why) {
  return fail(ErrorCode::failed, "a header in the packed memory is broken: " + why);
}

}  // namespace

Header encode(const FrameHeader& header) {
  return encode(static_cast<std::uint32_t>(header.method) << 24, header.bytes);
}

Header encode(const BatchHeader& header) {
  return encode(header.batch_bytes, header.original_bytes);
}

Result<FrameHeader> parse_frame_header(ByteView bytes) {
  if (bytes.size() != kHeaderBytes) return broken_header("it has the wrong length");
  const auto first = number(bytes, 0);
  const FrameHeader header{static_cast<Method>(first >> 24), number(bytes, 4)};
  switch (header.method) {
    case Method::stored:
    case Method::zstd_far:
    case Method::zstd_near:
    case Method::lz4:
    case Method::as_it_is: break;
    default: return broken_header("its method is unknown");
  }
  if (first << 8 != 0) return broken_header("it says more than is known");
  if (header.bytes == 0 || header.bytes > kMostFrameBytes)
    return broken_header("what follows cannot be that long");
  return header;
}

Result<BatchHeader> parse_batch_header(ByteView bytes) {
  if (bytes.size() != kHeaderBytes) return broken_header("it has the wrong length");
  const BatchHeader header{number(bytes, 0), number(bytes, 4)};
  if (header.original_bytes > kMostOriginalBytes) return broken_header("the batch stands for too much");
  if (header.batch_bytes < kTrailerBytes || header.batch_bytes > most_batch_bytes(header.original_bytes)) {
    return broken_header("the batch cannot be that long");
  }
  return header;
}

}  // namespace vmigrate::reduce
