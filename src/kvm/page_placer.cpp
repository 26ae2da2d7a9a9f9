#include "kvm/page_placer.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "kvm/page_copier.hpp"

namespace vmigrate::kvm {

void PagePlacer::opaque(ByteView bytes) {
  if (!ram_ended_ || !result_) return;
  if (bytes.size() > longest_tail_ - tail_.size())
    return refuse("the state is larger than that of any such VM");
  tail_.insert(tail_.end(), bytes.begin(), bytes.end());
}

void PagePlacer::block_table(const std::vector<stream::RamBlock>& blocks) {
  const bool alike = std::equal(blocks.begin(), blocks.end(), slots_.begin(), slots_.end(),
                                [](const stream::RamBlock& block, const Slot* slot) {
                                  return block.name == slot->memory.name && block.size == slot->memory.size;
                                });
  if (!alike) return refuse("the memory that comes is not the memory that was announced");
  table_seen_ = true;
}

void PagePlacer::page(const stream::PagePlace& place, ByteView content) {
  auto* memory = memory_of(place);
  if (memory == nullptr) return;
  std::memcpy(memory, content.data(), kPageSize);
  ++pages_;
}

void PagePlacer::zero_page(const stream::PagePlace& place, std::byte fill) {
  auto* memory = memory_of(place);
  if (memory == nullptr) return;
  // A page that was never written is zero already, and writing would take memory for it.
  if (fill != std::byte{0} || !is_zero_page(memory))
    std::memset(memory, std::to_integer<int>(fill), kPageSize);
  ++zero_pages_;
}

void PagePlacer::delta_page(const stream::PagePlace&) {
  refuse("a page came as a difference");
}

// The decoder has seen to it that the page lies within the block, whose size is the slot's.
std::byte* PagePlacer::memory_of(const stream::PagePlace& place) const {
  if (!table_seen_ || !result_) return nullptr;
  return slots_[place.block]->memory.memory + place.offset;
}

void PagePlacer::refuse(std::string why) {
  if (result_) result_ = fail(ErrorCode::refused, std::move(why));
}

}  // namespace vmigrate::kvm
