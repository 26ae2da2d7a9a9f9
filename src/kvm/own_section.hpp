#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.hpp"
#include "base/error.hpp"

namespace vmigrate::kvm {

/// What stands before the body of a section of our own that is called `name` (without the prefix).
constexpr std::size_t own_section_head_size(std::string_view name) {
  constexpr std::size_t type_id_and_name_length = 6;
  constexpr std::size_t prefix = 9;  // stream::kOwnSections
  constexpr std::size_t instance_version_and_length = 12;
  return type_id_and_name_length + prefix + name.size() + instance_version_and_length;
}
inline constexpr std::size_t kOwnSectionFooterSize = 5;

/// Reads that many bytes: the body's size, which is at most `largest`. Refuses every other section, and
/// versions other than ours.
Result<std::size_t> read_own_section_head(ByteView head, std::string_view name, std::size_t largest);

}  // namespace vmigrate::kvm
