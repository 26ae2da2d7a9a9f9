#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"

namespace vmigrate::microvm {

/// A program for a VM that starts in 32-bit protected mode.
struct Image {
  struct Part {
    std::uint64_t guest_address = 0;
    std::uint64_t size = 0;  ///< bytes; what `content` has not is zero
    ByteBuffer content{};
  };
  std::vector<Part> parts{};
  std::uint32_t entry = 0;
};

/// A 32-bit ELF program for x86, or a flat image, which is put at 1 MiB and begins with its first byte.
Result<Image> read_image(ByteView file);
Result<Image> load_image(const std::string& path);

}  // namespace vmigrate::microvm
