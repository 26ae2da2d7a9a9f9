#include "vmm/frames.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

namespace vmigrate::vmm {
namespace {

constexpr std::size_t kLengthSize = 4;
constexpr std::chrono::milliseconds kWritePatience{5000};

std::size_t length_of(std::string_view bytes) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < kLengthSize; ++i) length = length << 8 | static_cast<std::uint8_t>(bytes[i]);
  return length;
}

std::string to_frame(const google::protobuf::MessageLite& message) {
  const auto length = message.ByteSizeLong();
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<char>(length >> shift & 0xff));
  message.AppendToString(&frame);
  return frame;
}

}  // namespace

Result<bool> Frames::read_available(int socket) {
  std::array<char, 16384> buffer;
  while (held_.size() <= kLongestMessage + kLengthSize) {
    const ssize_t count = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count > 0) {
      held_.append(buffer.data(), static_cast<std::size_t>(count));
    } else if (count == 0) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      return fail_errno("reading", errno);
    }
  }
  return true;
}

Result<std::optional<std::string>> Frames::next_bytes() {
  if (held_.size() < kLengthSize) return std::nullopt;
  const auto length = length_of(held_);
  if (length > kLongestMessage) {
    return fail(ErrorCode::refused,
                fmt::format("a message of {} bytes was announced, {} is the most", length, kLongestMessage));
  }
  if (held_.size() < kLengthSize + length) return std::nullopt;
  auto message = held_.substr(kLengthSize, length);
  held_.erase(0, kLengthSize + length);
  return message;
}

Result<> write_message(int socket, const google::protobuf::MessageLite& message) {
  if (message.ByteSizeLong() > kLongestMessage) return fail(ErrorCode::failed, "the message is too long");
  const auto frame = to_frame(message);
  const auto deadline = std::chrono::steady_clock::now() + kWritePatience;
  for (std::string_view rest = frame; !rest.empty();) {
    const ssize_t count = ::send(socket, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(count));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail(ErrorCode::unreachable, fail_errno("writing", errno).value().message);
    if (std::chrono::steady_clock::now() >= deadline)
      return fail(ErrorCode::unreachable, "the other end reads nothing");
    pollfd wanted{socket, POLLOUT, 0};
    ::poll(&wanted, 1, static_cast<int>(kWritePatience.count()));
  }
  return {};
}

Failure to_proto(const Error& error) {
  Failure message;
  message.set_code(static_cast<std::uint32_t>(error.code));
  message.set_message(error.message);
  message.set_hint(error.hint);
  return message;
}

Error from_proto(const Failure& message) {
  const bool known =
      message.code() >= 1 && message.code() <= static_cast<std::uint32_t>(ErrorCode::needs_attention);
  return {known ? static_cast<ErrorCode>(message.code()) : ErrorCode::failed, message.message(),
          message.hint()};
}

}  // namespace vmigrate::vmm
