#pragma once

#include <cstdint>
#include <vector>

#include "base/error.hpp"
#include "kvm/slot.hpp"
#include "stream/records.hpp"

namespace vmigrate::kvm {

/// Writes the pages of a stream to where they belong in guest memory, and keeps what comes after memory.
class PagePlacer : public stream::RecordSink {
 public:
  /// `slots`: what the stream's block table must be, in this order. `longest_tail`: bytes.
  PagePlacer(std::vector<const Slot*> slots, std::size_t longest_tail)
      : slots_(std::move(slots)), longest_tail_(longest_tail) {}

  void opaque(ByteView bytes) override;
  void block_table(const std::vector<stream::RamBlock>& blocks) override;
  void page(const stream::PagePlace& place, ByteView content) override;
  void zero_page(const stream::PagePlace& place, std::byte fill) override;
  void delta_page(const stream::PagePlace& place) override;
  void last_pages() override {}
  void ram_end() override { ram_ended_ = true; }

  /// The first thing that was wrong.
  const Result<>& result() const { return result_; }
  bool ram_ended() const { return ram_ended_; }
  const ByteBuffer& tail() const { return tail_; }
  std::uint64_t pages() const { return pages_; }
  std::uint64_t zero_pages() const { return zero_pages_; }

 private:
  std::byte* memory_of(const stream::PagePlace& place) const;
  void refuse(std::string why);

  std::vector<const Slot*> slots_;
  std::size_t longest_tail_;
  Result<> result_;
  bool table_seen_ = false;
  bool ram_ended_ = false;
  ByteBuffer tail_;
  std::uint64_t pages_ = 0;
  std::uint64_t zero_pages_ = 0;
};

}  // namespace vmigrate::kvm
