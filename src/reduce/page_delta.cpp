#include "reduce/page_delta.hpp"

#include <cstring>

#include "stream/format.hpp"

namespace vmigrate::reduce {
namespace {

constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
constexpr std::size_t kWords = stream::kPageSize / kWordBytes;
constexpr std::size_t kStride = 4;

std::uint64_t changed_bits(ByteView before, ByteView now, std::size_t word) {
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  std::memcpy(&left, before.data() + word * kWordBytes, kWordBytes);
  std::memcpy(&right, now.data() + word * kWordBytes, kWordBytes);
  return left ^ right;
}

/// The first word from `word` on that differs. Most of a page is the same, so several are looked at together.
std::size_t skip_same(ByteView before, ByteView now, std::size_t word) {
  while (word + kStride <= kWords) {
    std::uint64_t changed = 0;
    for (std::size_t i = 0; i < kStride; ++i) changed |= changed_bits(before, now, word + i);
    if (changed != 0) break;
    word += kStride;
  }
  while (word < kWords && changed_bits(before, now, word) == 0) ++word;
  return word;
}

}  // namespace

Difference append_delta(ByteView before, ByteView now, ByteBuffer& out) {
  std::size_t differing = skip_same(before, now, 0);
  if (differing == kWords) return Difference::none;
  const std::size_t begin = out.size();
  std::size_t word = 0;
  while (word < kWords) {
    put_number(out, differing - word);
    if (differing == kWords) break;
    word = differing;
    while (word < kWords && changed_bits(before, now, word) != 0) ++word;
    put_number(out, word - differing);
    if (out.size() - begin + (word - differing) * kWordBytes > kLongestDelta) {
      out.resize(begin);
      return Difference::too_long;
    }
    out.insert(out.end(), now.data() + differing * kWordBytes, now.data() + word * kWordBytes);
    differing = skip_same(before, now, word);
  }
  return Difference::found;
}

Result<> apply_delta(FieldReader& delta, std::span<std::byte> page) {
  constexpr auto kBroken = "a page's difference does not end, or goes beyond the page";
  std::size_t word = 0;
  while (word < kWords) {
    const auto same = delta.number();
    if (!same || *same > kWords - word) return fail(ErrorCode::failed, kBroken);
    word += *same;
    if (word == kWords) break;
    const auto differing = delta.number();
    if (!differing || *differing == 0 || *differing > kWords - word) return fail(ErrorCode::failed, kBroken);
    const auto content = delta.bytes(*differing * kWordBytes);
    if (!content) return fail(ErrorCode::failed, kBroken);
    std::memcpy(page.data() + word * kWordBytes, content->data(), content->size());
    word += *differing;
  }
  return {};
}

}  // namespace vmigrate::reduce
