#include "base/text.hpp"

#include <algorithm>

namespace vmigrate {
namespace {

/// Which second bytes may follow a first one: the Unicode Standard, table 3-7. It excludes longer forms of
/// shorter sequences, surrogates, and what is beyond the last code point.
struct Lead {
  std::size_t size = 0;  ///< of the sequence; 0: none begins so
  unsigned char least = 0x80;
  unsigned char most = 0xbf;
};

Lead lead(unsigned char first) {
  if (first < 0x80) return {1};
  if (first >= 0xc2 && first <= 0xdf) return {2};
  if (first == 0xe0) return {3, 0xa0};
  if (first == 0xed) return {3, 0x80, 0x9f};
  if (first >= 0xe1 && first <= 0xef) return {3};
  if (first == 0xf0) return {4, 0x90};
  if (first >= 0xf1 && first <= 0xf3) return {4};
  if (first == 0xf4) return {4, 0x80, 0x8f};
  return {};
}

/// Bytes of the well-formed sequence that `text` begins with; 0 when there is none.
std::size_t sequence_size(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const Lead expected = lead(byte(0));
  if (expected.size <= 1 || text.size() < expected.size) return expected.size == 1 ? 1 : 0;
  if (byte(1) < expected.least || byte(1) > expected.most) return 0;
  const auto rest = text.substr(2, expected.size - 2);
  const bool continues = std::ranges::all_of(rest, [](char each) { return (each & 0xc0) == 0x80; });
  return continues ? expected.size : 0;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const auto size = sequence_size(text);
    valid += size == 0 ? "?" : text.substr(0, size);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return valid;
}

}  // namespace vmigrate
