#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/error.hpp"

namespace vmigrate::microvm {

/// Bytes, on x86-64.
inline constexpr std::uint64_t kHugePageSize = std::uint64_t{2} << 20;

/// Anonymous memory, zeros at first, given back at the end of its life.
class MappedMemory {
 public:
  /// With `huge` the kernel is asked for huge pages; it need not give any. KVM maps those that it gives as a
  /// whole only where guest and host count alike within a huge page, so it begins where the memory at
  /// `guest_address` does.
  static Result<MappedMemory> create(std::uint64_t size, bool huge, std::uint64_t guest_address);
  MappedMemory(MappedMemory&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedMemory& operator=(MappedMemory&&) = delete;
  ~MappedMemory();

  std::byte* data() const { return start_; }
  std::span<std::byte> bytes() const { return {start_, size_}; }

 private:
  MappedMemory(std::byte* start, std::size_t size) : start_(start), size_(size) {}
  std::byte* start_;
  std::size_t size_;
};

}  // namespace vmigrate::microvm
