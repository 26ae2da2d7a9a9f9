#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"

namespace vmigrate::microvm {

/// What a Linux kernel is started with: guest addresses below 640 KiB.
struct LinuxStart {
  std::uint32_t parameters = 0;        ///< of struct boot_params
  std::uint32_t descriptor_table = 0;  ///< which has flat code at 0x10 and data at 0x18
  std::uint16_t descriptor_bytes = 0;
};

/// A program for a VM that starts in 32-bit protected mode.
struct Image {
  struct Part {
    std::uint64_t guest_address = 0;
    std::uint64_t size = 0;  ///< bytes; what `content` has not is zero
    ByteBuffer content{};
  };
  std::vector<Part> parts{};
  std::uint32_t entry = 0;
  std::optional<LinuxStart> linux_start{};  ///< it is a kernel, and starts on one vCPU
};

/// A 32-bit ELF program for x86, or a flat image, which is put at 1 MiB and begins with its first byte.
Result<Image> read_image(ByteView file);
/// At most 256 MiB.
Result<ByteBuffer> load_file(const std::string& path);

}  // namespace vmigrate::microvm
