#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reduce/batch.hpp"
#include "reduce/operations.hpp"
#include "reduce/sent_pages.hpp"
#include "stream/records.hpp"

namespace vmigrate::reduce {

/// Collects what the decoder finds into a batch, smaller than it was. All batches of one writer, read in
/// their order by one BatchReader with as large a store, are the stream again, but for what went as it is.
class BatchWriter : public stream::RecordSink {
 public:
  /// The memory of `store_pages` pages is spent at both ends; 0 leaves only runs of zero pages to gain from.
  explicit BatchWriter(std::size_t store_pages);

  /// A page, in the order of the stream, that goes to the destination without being in any batch.
  void went_as_it_is(const stream::PagePlace& place) { sent_.arrive(place); }

  /// How much of the stream is in the batch so far.
  std::size_t original_bytes() const { return original_bytes_; }
  /// The batch so far; the next one is begun. It is for the caller to take one before it stands for more than
  /// kMostOriginalBytes.
  Batch take();

  void opaque(ByteView bytes) override;
  void block_table(const std::vector<stream::RamBlock>& blocks) override;
  void page(const stream::PagePlace& place, ByteView content) override;
  void zero_page(const stream::PagePlace& place, std::byte fill) override;
  /// Arrived as opaque bytes. The store does not follow: it holds what was sent, not what the destination's
  /// QEMU makes of it.
  void delta_page(const stream::PagePlace&) override {}
  void last_pages() override {}
  void ram_end() override {}

 private:
  struct Run {
    Operation kind = Operation::opaque;
    bool named = false;
    std::size_t block = 0;
    std::uint64_t page = 0;
    std::uint64_t count = 0;  // pages, or bytes if opaque
    std::uint64_t slot = 0;
    std::byte fill{};
  };

  void arrive(const stream::PagePlace& place, std::size_t body_bytes);
  void reduce_page(const stream::PagePlace& place, ByteView content);
  /// False if nothing comes of it.
  bool reduce_by_place(const stream::PagePlace& place, ByteView content, Slot slot);
  void keep(const stream::PagePlace& place, ByteView content, Slot slot, std::uint64_t hash);
  void literal(const stream::PagePlace& place, ByteView content);
  void add(Operation kind, const stream::PagePlace& place, std::uint64_t slot = 0, std::byte fill = {});
  void append_literal(ByteView bytes);
  void append_literal_page(ByteView content);
  void end_run();
  void write_pages(const Run& run);

  SentPages sent_;
  std::vector<std::size_t> name_sizes_;  // of the blocks
  ByteBuffer literals_;
  ByteBuffer operations_;
  ByteBuffer shuffled_;            // a bit for each page among the literals, up to the last that is
  std::size_t literal_pages_ = 0;  // among the literals
  std::optional<Run> run_;         // not yet in operations_: it may grow
  ExpectedRun expected_;
  std::size_t original_bytes_ = 0;
  PageCounters counters_;
};

}  // namespace vmigrate::reduce
