#pragma once

#include <cstdint>
#include <utility>

#include "stream/format.hpp"
#include "stream/records.hpp"

namespace vmigrate::stream {

/// Counts what passes.
class StreamStatistics : public RecordSink {
 public:
  std::uint64_t pages() const { return pages_; }
  std::uint64_t zero_pages() const { return zero_pages_; }
  std::uint64_t delta_pages() const { return delta_pages_; }
  /// Every page that passed, zero ones and differences too, times the size of a page.
  std::uint64_t guest_bytes() const { return (pages_ + zero_pages_ + delta_pages_) * kPageSize; }
  /// How often the pages have begun at the front again. The stream does not mark QEMU's passes over the
  /// memory; but within one, blocks come in the order of the block table and pages in the order of their
  /// offsets.
  std::uint32_t passes() const { return passes_; }
  bool vcpus_stopped() const { return vcpus_stopped_; }
  bool ram_ended() const { return ram_ended_; }

  void opaque(ByteView) override {}
  void block_table(const std::vector<RamBlock>&) override {}
  void page(const PagePlace& place, ByteView) override { count(place, pages_); }
  void zero_page(const PagePlace& place, std::byte) override { count(place, zero_pages_); }
  void delta_page(const PagePlace& place) override { count(place, delta_pages_); }
  void last_pages() override { vcpus_stopped_ = true; }
  void ram_end() override { ram_ended_ = true; }

 private:
  void count(const PagePlace& place, std::uint64_t& counter) {
    const std::pair here{place.block, place.offset};
    if (passes_ == 0 || here <= last_) ++passes_;
    last_ = here;
    ++counter;
  }

  std::uint64_t pages_ = 0;
  std::uint64_t zero_pages_ = 0;
  std::uint64_t delta_pages_ = 0;
  std::uint32_t passes_ = 0;
  std::pair<std::size_t, std::uint64_t> last_;
  bool vcpus_stopped_ = false;
  bool ram_ended_ = false;
};

}  // namespace vmigrate::stream
