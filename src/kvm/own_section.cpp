#include "kvm/own_section.hpp"

#include <fmt/format.h>

#include "kvm/stream_names.hpp"
#include "stream/format.hpp"

namespace vmigrate::kvm {
namespace {

std::uint32_t number_in_section(ByteView bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (const auto byte : bytes.subspan(offset, 4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

}  // namespace

Result<std::size_t> read_own_section_head(ByteView head, std::string_view name, std::size_t largest) {
  static_assert(own_section_head_size("") == 6 + stream::kOwnSections.size() + 12);
  const auto length = stream::kOwnSections.size() + name.size();
  const auto found = as_text(head.subspan(6, length));
  const bool ours = std::to_integer<std::uint8_t>(head[0]) == stream::kSectionFull &&
                    std::to_integer<std::size_t>(head[5]) == length &&
                    found.starts_with(stream::kOwnSections) && found.ends_with(name);
  if (!ours) {
    return fail(ErrorCode::refused, fmt::format("where the section '{}{}' should be there is something else",
                                                stream::kOwnSections, name));
  }
  const auto version = number_in_section(head, 6 + length + 4);
  if (version != kSectionVersion) {
    return fail(ErrorCode::refused, fmt::format("the section '{}{}' has version {}, and {} is known here",
                                                stream::kOwnSections, name, version, kSectionVersion));
  }
  const std::size_t size = number_in_section(head, 6 + length + 8);
  if (size > largest) {
    return fail(ErrorCode::refused, fmt::format("the section '{}{}' has {} bytes, and {} is the most",
                                                stream::kOwnSections, name, size, largest));
  }
  return size;
}

}  // namespace vmigrate::kvm
