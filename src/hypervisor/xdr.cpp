#include "hypervisor/xdr.hpp"

namespace vmigrate::hypervisor {

ByteView XdrReader::fixed(std::size_t size) {
  if (size > rest_.size()) good_ = false;
  if (!good_) return {};
  const ByteView taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

void XdrReader::skip(std::size_t size) {
  fixed(size);
}

std::uint32_t XdrReader::number() {
  std::uint32_t value = 0;
  for (const std::byte byte : fixed(4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

ByteView XdrReader::counted(std::size_t limit) {
  const std::size_t size = number();
  if (size > limit) good_ = false;
  const ByteView bytes = fixed(size);
  skip((4 - size % 4) % 4);
  return good_ ? bytes : ByteView{};
}

std::optional<std::string> XdrReader::optional_text(std::size_t limit) {
  const std::uint32_t present = number();
  if (present > 1) good_ = false;
  if (!good_ || present == 0) return std::nullopt;
  return text(limit);
}

XdrWriter& XdrWriter::number(std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes_.push_back(static_cast<std::byte>(value >> shift));
  return *this;
}

XdrWriter& XdrWriter::fixed(ByteView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

XdrWriter& XdrWriter::counted(ByteView bytes) {
  number(static_cast<std::uint32_t>(bytes.size()));
  fixed(bytes);
  bytes_.resize((bytes_.size() + 3) / 4 * 4);
  return *this;
}

}  // namespace vmigrate::hypervisor
