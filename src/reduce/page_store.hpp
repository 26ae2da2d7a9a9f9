#pragma once

#include <cstring>
#include <memory>
#include <span>

#include "base/bytes.hpp"
#include "stream/format.hpp"

namespace vmigrate::reduce {

using stream::kPageSize;

/// The contents of a fixed number of slots, a page each. Memory is taken for all at once, but the kernel
/// gives it only as slots are written; what was never written is not to be read.
class PageStore {
 public:
  explicit PageStore(std::size_t slots)
      : slots_(slots), bytes_(std::make_unique_for_overwrite<std::byte[]>(slots * kPageSize)) {}

  std::size_t slots() const { return slots_; }
  ByteView content(std::size_t slot) const { return {bytes_.get() + slot * kPageSize, kPageSize}; }
  std::span<std::byte> content(std::size_t slot) { return {bytes_.get() + slot * kPageSize, kPageSize}; }
  void put(std::size_t slot, ByteView page) {
    std::memcpy(bytes_.get() + slot * kPageSize, page.data(), kPageSize);
  }

 private:
  std::size_t slots_;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace vmigrate::reduce
