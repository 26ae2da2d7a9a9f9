#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmigrate::kvm {

/// In the place of a QEMU machine's name: QEMU refuses this stream, and we refuse QEMU's.
inline constexpr std::string_view kMachineName = "vmigrate-kvm";
inline constexpr std::string_view kNeedsSection = "needs";
inline constexpr std::string_view kStateSection = "state";
inline constexpr std::uint32_t kSectionVersion = 1;

/// Bytes. A VM with 4096 slots and all CPUID entries needs a quarter of it.
inline constexpr std::size_t kLargestNeeds = std::size_t{1} << 20;
/// Bytes of the VMM's own devices.
inline constexpr std::size_t kLargestDevices = std::size_t{16} << 20;
/// Bytes of a state without devices: XSAVE has up to 12 KiB, everything else of a vCPU less.
constexpr std::size_t largest_state(std::size_t vcpus) {
  return (vcpus + 1) * (std::size_t{64} << 10) + kLargestDevices;
}

}  // namespace vmigrate::kvm
