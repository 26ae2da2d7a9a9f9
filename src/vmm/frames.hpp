#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "vmigrate/vmm.pb.h"

/// The connection between `migrated` and a VMM of its host, as proto/vmigrate/vmm.proto specifies it: what
/// both ends have in common.
namespace vmigrate::vmm {

inline constexpr std::uint32_t kVersion = 1;
/// Bytes of the longest message, without its length.
inline constexpr std::size_t kLongestMessage = std::size_t{1} << 20;
/// Of a VM or a VMM.
inline constexpr std::size_t kLongestName = 255;

/// Takes what has come on a connection, and gives whole messages. What it holds was really sent: a length
/// that is only announced takes no memory.
class Frames {
 public:
  /// All that can be read from `socket` without waiting. False: the other end sends no more. An error: it
  /// cannot be read, or sends more than a message without being asked.
  Result<bool> read_available(int socket);
  /// The next message, or nothing until more has come. An error for what is none.
  template <class Message>
  Result<std::optional<Message>> next();

 private:
  Result<std::optional<std::string>> next_bytes();
  std::string held_;
};

/// Waits while the other end does not take it, but not for long: one that reads nothing is broken.
Result<> write_message(int socket, const google::protobuf::MessageLite& message);

Failure to_proto(const Error& error);
Error from_proto(const Failure& message);

template <class Message>
Result<std::optional<Message>> Frames::next() {
  const auto bytes = next_bytes();
  if (!bytes) return fail(bytes.error());
  if (!*bytes) return std::optional<Message>();
  Message message;
  if (!message.ParseFromString(**bytes)) return fail(ErrorCode::refused, "what came is no message");
  return std::optional<Message>(std::move(message));
}

}  // namespace vmigrate::vmm
