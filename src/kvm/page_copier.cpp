#include "kvm/page_copier.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vmigrate::kvm {
namespace {

// 16 MiB are watched again at once: large enough that the call into KVM (which makes all vCPUs forget their
// translations) costs little, small enough that what was written meanwhile need not be sent twice.
constexpr std::size_t kWordsPerPiece = 64;

}  // namespace

bool is_zero_page(const std::byte* page) {
  std::uint64_t first = 0;
  std::memcpy(&first, page, sizeof first);
  // Equal to itself one word further on, and the first word zero: all are.
  return first == 0 && std::memcmp(page, page + sizeof first, kPageSize - sizeof first) == 0;
}

Result<> PageCopier::copy_live(DirtyTracker& tracker, const std::function<void()>& piece_copied) {
  for (std::size_t block = 0; block < sent_.size(); ++block) {
    auto& slot = *sent_[block];
    const auto words = slot.pending.words();
    for (std::size_t first = 0; first < words.size(); first += kWordsPerPiece) {
      const auto count = std::min(kWordsPerPiece, words.size() - first);
      const auto piece = words.subspan(first, count);
      if (std::all_of(piece.begin(), piece.end(), [](std::uint64_t word) { return word == 0; })) continue;
      {
        const std::lock_guard lock(slots_.mutex);
        if (slot.removed) break;
        if (auto armed = tracker.rearm(slot, first, count); !armed) return armed;
      }
      output_.composer().part();
      if (auto copied = copy_words(block, first, count); !copied) return copied;
      output_.composer().end_part();
      piece_copied();
    }
  }
  return output_.send();
}

Result<> PageCopier::copy_stopped() {
  output_.composer().last_part();
  for (std::size_t block = 0; block < sent_.size(); ++block) {
    if (auto copied = copy_words(block, 0, sent_[block]->pending.words().size()); !copied) return copied;
  }
  output_.composer().end_part();
  return output_.send();
}

std::uint64_t PageCopier::pending() const {
  const std::lock_guard lock(slots_.mutex);
  std::uint64_t pages = 0;
  for (const auto* slot : sent_) pages += slot->removed ? 0 : slot->pending.count();
  return pages;
}

Result<> PageCopier::copy_words(std::size_t block, std::size_t first, std::size_t count) {
  auto& slot = *sent_[block];
  for (auto index = first; index < first + count; ++index) {
    if (slot.pending.words()[index] == 0) continue;
    {
      // Not while sending: whoever removes the slot would wait for the network.
      const std::lock_guard lock(slots_.mutex);
      if (slot.removed) return {};
      copy_word(block, index);
    }
    if (auto sent = output_.send_if_full(); !sent) return sent;
  }
  return {};
}

void PageCopier::copy_word(std::size_t block, std::size_t index) {
  auto& slot = *sent_[block];
  for (auto& word = slot.pending.words()[index]; word != 0; word &= word - 1) {
    const auto page = index * kPagesPerWord + static_cast<std::size_t>(std::countr_zero(word));
    const auto offset = page * kPageSize;
    const std::byte* content = slot.memory.memory + offset;
    if (is_zero_page(content)) {
      output_.composer().zero_page(block, offset);
      ++zero_pages_;
    } else {
      output_.page(block, offset, {content, kPageSize});
      ++pages_;
    }
  }
}

}  // namespace vmigrate::kvm
