#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace vmigrate::hypervisor {

/// Reads XDR (RFC 4506). After the first thing that does not fit, good() is false and everything read is
/// empty.
class XdrReader {
 public:
  explicit XdrReader(ByteView bytes) : rest_(bytes) {}

  std::uint32_t number();
  void skip(std::size_t size);
  /// Bytes without a length in front, such as a UUID.
  ByteView fixed(std::size_t size);
  /// Length, bytes, padding to four; longer than `limit` does not fit.
  ByteView counted(std::size_t limit);
  std::string text(std::size_t limit) { return std::string(as_text(counted(limit))); }
  /// A text that may be missing.
  std::optional<std::string> optional_text(std::size_t limit);

  bool good() const { return good_; }
  bool at_end() const { return good_ && rest_.empty(); }

 private:
  ByteView rest_;
  bool good_ = true;
};

class XdrWriter {
 public:
  XdrWriter& number(std::uint32_t value);
  XdrWriter& fixed(ByteView bytes);
  XdrWriter& counted(ByteView bytes);
  XdrWriter& text(std::string_view text) { return counted(as_byte_view(text)); }
  const ByteBuffer& bytes() const { return bytes_; }

 private:
  ByteBuffer bytes_;
};

}  // namespace vmigrate::hypervisor
