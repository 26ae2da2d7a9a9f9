#include "kvm/answers.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace vmigrate::kvm {
namespace {

constexpr std::size_t kHead = 4;
constexpr std::size_t kShutSize = 4;
constexpr std::size_t kLongestReason = 2000;

void append_number(ByteBuffer& bytes, std::size_t value) {
  bytes.push_back(static_cast<std::byte>(value >> 8 & 0xff));
  bytes.push_back(static_cast<std::byte>(value & 0xff));
}

std::size_t number_in_answer(ByteView bytes, std::size_t offset) {
  return std::to_integer<std::size_t>(bytes[offset]) << 8 | std::to_integer<std::size_t>(bytes[offset + 1]);
}

}  // namespace

ByteBuffer encode(const Answer& answer) {
  ByteBuffer bytes;
  append_number(bytes, static_cast<std::size_t>(answer.kind));
  if (answer.kind == Answer::Kind::ended) {
    append_number(bytes, kShutSize);
    append_number(bytes, 0);
    append_number(bytes, answer.loaded ? 0 : 1);
    return bytes;
  }
  const auto reason = as_byte_view(answer.reason).first(std::min(answer.reason.size(), kLongestReason));
  append_number(bytes, reason.size());
  bytes.insert(bytes.end(), reason.begin(), reason.end());
  return bytes;
}

Result<std::optional<Answer>> take_answer(ByteBuffer& bytes) {
  if (bytes.size() < kHead) return std::optional<Answer>();
  const auto kind = static_cast<Answer::Kind>(number_in_answer(bytes, 0));
  const auto size = number_in_answer(bytes, 2);
  const bool known =
      kind == Answer::Kind::ended
          ? size == kShutSize
          : (kind == Answer::Kind::accepted || kind == Answer::Kind::refused) && size <= kLongestReason;
  if (!known) {
    return fail(ErrorCode::failed,
                fmt::format("the destination answered with what is no answer (type {:#06x}, {} bytes)",
                            static_cast<unsigned>(kind), size));
  }
  if (bytes.size() < kHead + size) return std::optional<Answer>();
  Answer answer{kind};
  const auto body = ByteView(bytes).subspan(kHead, size);
  if (kind == Answer::Kind::ended)
    answer.loaded =
        std::all_of(body.begin(), body.end(), [](std::byte byte) { return byte == std::byte{0}; });
  else
    answer.reason = as_text(body);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kHead + size));
  return answer;
}

Result<Answer> AnswerReader::next(MonotonicTime deadline) {
  for (;;) {
    auto answer = take_answer(held_);
    if (!answer) return fail(answer.error());
    if (*answer) return std::move(**answer);
    std::array<std::byte, 256> buffer;
    const auto count = connection_.read(buffer, deadline);
    if (!count) return fail(count.error());
    if (*count == 0) {
      return fail(ErrorCode::unreachable,
                  "the destination has closed the connection, or does not answer in time");
    }
    held_.insert(held_.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*count));
  }
}

Result<std::optional<Answer>> AnswerReader::next_if_there() {
  auto held = take_answer(held_);
  if (!held || *held) return held;
  std::array<std::byte, 256> buffer;
  const auto count = connection_.read_available(buffer);
  if (!count) return fail(count.error());
  if (!*count) return std::optional<Answer>();
  if (**count == 0) return fail(ErrorCode::unreachable, "the destination has closed the connection");
  held_.insert(held_.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(**count));
  return take_answer(held_);
}

}  // namespace vmigrate::kvm
