#pragma once

#include <string_view>

#include "base/bytes.hpp"

namespace vmigrate::announce {

/// "52 54 00 12": what stands in a protocol's diagram, as bytes. Spaces are free.
inline ByteBuffer from_hex(std::string_view text) {
  const auto digit = [](char character) {
    return static_cast<unsigned>(character <= '9' ? character - '0' : character - 'a' + 10);
  };
  ByteBuffer bytes;
  bool half = false;
  for (const char character : text) {
    if (character == ' ') continue;
    if (half) {
      bytes.back() |= static_cast<std::byte>(digit(character));
    } else {
      bytes.push_back(static_cast<std::byte>(digit(character) << 4));
    }
    half = !half;
  }
  return bytes;
}

/// Padded with zeros, as frames are.
inline ByteBuffer from_hex(std::string_view text, std::size_t size) {
  ByteBuffer bytes = from_hex(text);
  bytes.resize(size);
  return bytes;
}

}  // namespace vmigrate::announce
