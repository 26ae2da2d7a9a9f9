#include "control/framing.hpp"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace vmigrate::control {
namespace {

constexpr std::size_t kLengthSize = 4;

std::uint32_t read_length(std::string_view bytes) {
  std::uint32_t length = 0;
  for (std::size_t i = kLengthSize; i-- > 0;) length = length << 8 | static_cast<std::uint8_t>(bytes[i]);
  return length;
}

std::array<char, kLengthSize> written_length(std::size_t length) {
  std::array<char, kLengthSize> bytes{};
  for (char& byte : bytes) {
    byte = static_cast<char>(length & 0xff);
    length >>= 8;
  }
  return bytes;
}

}  // namespace

Result<std::string> to_frame(const google::protobuf::MessageLite& message) {
  const std::size_t length = message.ByteSizeLong();
  if (length > kLongestMessage) {
    return fail(ErrorCode::refused,
                fmt::format("a message of {} bytes is longer than the limit of {}", length, kLongestMessage),
                "ask for less at a time");
  }
  const auto prefix = written_length(length);
  std::string frame(prefix.begin(), prefix.end());
  message.AppendToString(&frame);
  return frame;
}

Result<std::optional<std::string>> FrameDecoder::next() {
  if (buffer_.size() < kLengthSize) return std::nullopt;
  const std::size_t length = read_length(buffer_);
  if (length > kLongestMessage) {
    return fail(ErrorCode::refused,
                fmt::format("a message of {} bytes was announced, the limit is {}", length, kLongestMessage));
  }
  if (buffer_.size() < kLengthSize + length) return std::nullopt;
  std::string message = buffer_.substr(kLengthSize, length);
  buffer_.erase(0, kLengthSize + length);
  return message;
}

}  // namespace vmigrate::control
