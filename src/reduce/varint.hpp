#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"

namespace vmigrate::reduce {

inline void put_number(ByteBuffer& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::byte>(value | 0x80));
  out.push_back(static_cast<std::byte>(value));
}

/// Small numbers of either sign are short. The difference may wrap around: only its bits count.
inline void put_difference(ByteBuffer& out, std::uint64_t to, std::uint64_t from) {
  const std::uint64_t difference = to - from;
  put_number(out, difference << 1 ^ (difference >> 63 != 0 ? ~std::uint64_t{0} : 0));
}

/// Takes fields off the front of bytes that nobody has vouched for.
class FieldReader {
 public:
  explicit FieldReader(ByteView bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::size_t size() const { return rest_.size(); }

  std::optional<std::uint8_t> byte() {
    if (rest_.empty()) return std::nullopt;
    const auto value = std::to_integer<std::uint8_t>(rest_.front());
    rest_ = rest_.subspan(1);
    return value;
  }

  std::optional<ByteView> bytes(std::uint64_t count) {
    if (count > rest_.size()) return std::nullopt;
    const ByteView taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  /// Refuses what does not fit into 64 bits.
  std::optional<std::uint64_t> number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto part = byte();
      if (!part || (shift == 63 && *part > 1)) return std::nullopt;
      value |= std::uint64_t{*part & 0x7fU} << shift;
      if (*part < 0x80) return value;
    }
    return std::nullopt;
  }

  /// `from` moved by a signed number, modulo 2^64: the caller checks the result.
  std::optional<std::uint64_t> moved(std::uint64_t from) {
    const auto coded = number();
    if (!coded) return std::nullopt;
    return from + (*coded >> 1 ^ ((*coded & 1) != 0 ? ~std::uint64_t{0} : 0));
  }

 private:
  ByteView rest_;
};

}  // namespace vmigrate::reduce
