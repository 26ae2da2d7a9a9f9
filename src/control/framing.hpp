#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/message_lite.h>

#include "base/error.hpp"

/// Messages on the control socket: a little-endian 32-bit length and that many bytes, as
/// proto/vmigrate/control.proto says.
namespace vmigrate::control {

/// The longest message that is sent or accepted, in bytes.
inline constexpr std::size_t kLongestMessage = std::size_t{1} << 20;

/// The message with its length in front. An error when it is longer than kLongestMessage.
Result<std::string> to_frame(const google::protobuf::MessageLite& message);

/// Cuts arriving bytes into messages. What it holds was really sent: a length that is only announced takes no
/// memory.
class FrameDecoder {
 public:
  void append(std::string_view bytes) { buffer_.append(bytes); }
  /// The next whole message, or nothing until more bytes have come. An error, as soon as its length is known,
  /// when it is longer than kLongestMessage; nothing after it can be understood.
  Result<std::optional<std::string>> next();
  /// Bytes of a message that is not whole yet, or not taken yet.
  std::size_t waiting() const { return buffer_.size(); }

 private:
  std::string buffer_;
};

}  // namespace vmigrate::control
