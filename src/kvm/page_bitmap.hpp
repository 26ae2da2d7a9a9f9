#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmigrate::kvm {

inline constexpr std::size_t kPagesPerWord = 64;

/// One bit a page, in the shape of KVM_GET_DIRTY_LOG: 64-bit words, the lowest bit the lowest page. Bits
/// behind the last page are never set.
class PageBitmap {
 public:
  explicit PageBitmap(std::size_t pages = 0)
      : pages_(pages), words_((pages + kPagesPerWord - 1) / kPagesPerWord) {}

  std::size_t pages() const { return pages_; }
  std::span<std::uint64_t> words() { return words_; }
  std::span<const std::uint64_t> words() const { return words_; }

  void set(std::size_t page) { words_[page / kPagesPerWord] |= std::uint64_t{1} << page % kPagesPerWord; }
  bool has(std::size_t page) const { return (words_[page / kPagesPerWord] >> page % kPagesPerWord & 1) != 0; }

  void set_all() {
    for (auto& word : words_) word = ~std::uint64_t{0};
    trim();
  }

  void clear() {
    for (auto& word : words_) word = 0;
  }

  /// What the kernel says may have bits set behind the last page.
  void merge(std::span<const std::uint64_t> words) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= words[i];
    trim();
  }

  std::size_t count() const {
    std::size_t pages = 0;
    for (const auto word : words_) pages += static_cast<std::size_t>(std::popcount(word));
    return pages;
  }

 private:
  void trim() {
    const auto used = pages_ % kPagesPerWord;
    if (used != 0) words_.back() &= (std::uint64_t{1} << used) - 1;
  }

  std::size_t pages_;
  std::vector<std::uint64_t> words_;
};

}  // namespace vmigrate::kvm
