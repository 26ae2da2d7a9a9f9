#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "kvm/page_bitmap.hpp"
#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {

/// The pages of one slot that the VMM's devices wrote, marked by any thread without waiting.
class DirtyMarks {
 public:
  explicit DirtyMarks(std::uint64_t size)
      : size_(size), words_((size / kPageSize + kPagesPerWord - 1) / kPagesPerWord) {}

  void mark(std::uint64_t offset, std::uint64_t size) {
    if (offset >= size_ || size == 0) return;
    const auto last = (offset + std::min(size, size_ - offset) - 1) / kPageSize;
    for (auto page = offset / kPageSize; page <= last; ++page) {
      // Whoever takes the mark must see what was written before it was made.
      words_[page / kPagesPerWord].fetch_or(std::uint64_t{1} << page % kPagesPerWord,
                                            std::memory_order_release);
    }
  }

  /// Moves the marks to `pages`.
  void take(PageBitmap& pages) {
    const auto words = pages.words();
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words_[i].load(std::memory_order_relaxed) == 0) continue;
      words[i] |= words_[i].exchange(0, std::memory_order_acquire);
    }
  }

 private:
  std::uint64_t size_;
  std::vector<std::atomic<std::uint64_t>> words_;
};

}  // namespace vmigrate::kvm
