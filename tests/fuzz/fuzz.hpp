#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

/// One program a target: driver.cpp and a file that says what to begin with and what must hold. libFuzzer
/// changes the inputs; the sanitizers see what goes wrong in memory.
namespace vmigrate::fuzz {

/// Inputs that get far, from which the search begins.
std::vector<ByteBuffer> seeds();
/// Ends the program when the code does with `input` what it must not.
void check(ByteView input);

/// A crash, with words. The sanitizer's stack says where.
inline void require(bool holds, const char* what) {
  if (holds) return;
  static_cast<void>(std::fprintf(stderr, "must hold: %s\n", what));
  std::abort();
}

/// Takes an input apart. What is missing at its end reads as zero or empty.
class Input {
 public:
  explicit Input(ByteView bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  ByteView rest() const { return rest_; }
  ByteView take(std::size_t size) {
    const auto taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  /// Big-endian.
  std::uint32_t number(std::size_t bytes) {
    std::uint32_t value = 0;
    for (const std::byte byte : take(bytes)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
    return value;
  }
  /// As many bytes as two bytes in front of them say.
  ByteView piece() { return take(number(2)); }
  std::string text() { return std::string(as_text(piece())); }

 private:
  ByteView rest_;
};

/// Puts an input together in the same way.
class Seed {
 public:
  Seed& number(std::uint64_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
      bytes_.push_back(static_cast<std::byte>(value >> shift & 0xff));
    return *this;
  }
  Seed& raw(ByteView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Seed& piece(ByteView bytes) { return number(bytes.size(), 2).raw(bytes); }
  Seed& piece(std::string_view text) { return piece(as_byte_view(text)); }
  const ByteBuffer& bytes() const { return bytes_; }

 private:
  ByteBuffer bytes_;
};

inline ByteBuffer seed_of(std::string_view text) {
  return copy_of(as_byte_view(text));
}

}  // namespace vmigrate::fuzz
