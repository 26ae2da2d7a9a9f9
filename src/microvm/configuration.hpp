#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmigrate/kvm.hpp"

namespace vmigrate::microvm {

struct Memory {
  std::string name{};
  std::uint64_t guest_address = 0;  ///< bytes
  std::uint64_t size = 0;           ///< bytes
  bool read_only = false;
};

/// What a VM is made of. Two that are to be moved into each other have the same.
struct Configuration {
  std::uint32_t vcpus = 1;
  std::vector<Memory> memory{};
  bool huge_pages = false;
  kvm::DirtyLog dirty_log = kvm::DirtyLog::automatic;
  std::uint64_t dirty_ring_size = 0;  ///< bytes; 0: none
};

/// `size` bytes of memory as a PC has them: below and above 1 MiB, with the hole for video memory and
/// firmware between them.
std::vector<Memory> memory_with_hole(std::uint64_t size);

/// Where the slot above the hole begins.
inline constexpr std::uint64_t kHighMemory = 0x100000;

}  // namespace vmigrate::microvm
