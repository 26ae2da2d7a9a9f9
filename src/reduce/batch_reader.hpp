#pragma once

#include <array>
#include <vector>

#include "base/error.hpp"
#include "reduce/operations.hpp"
#include "reduce/page_store.hpp"
#include "reduce/varint.hpp"
#include "stream/encoder.hpp"

namespace vmigrate::reduce {

/// Makes the stream again out of the batches of one BatchWriter, in their order.
///
/// Nothing in a batch is trusted. What it could gain by lying is a broken stream, which the destination's
/// QEMU has to cope with from any source.
class BatchReader {
 public:
  /// As many pages as the writer's.
  explicit BatchReader(std::size_t store_pages);

  /// The piece of the stream that the batch stands for: exactly `original_bytes`, kMostOriginalBytes at most.
  /// After an error the store may no longer be the writer's, and every later batch is refused too.
  Result<ByteBuffer> restore(ByteView batch, std::size_t original_bytes);

 private:
  struct Run {
    Operation kind = Operation::opaque;
    bool named = false;
    std::uint64_t count = 1;
    std::uint64_t slot = 0;
    std::byte fill{};
  };
  /// The parts of a batch that are still to be read.
  struct Rest {
    FieldReader literals;
    FieldReader operations;
    std::size_t original_bytes;
    ByteView shuffled;              // a bit for each page among the literals
    std::size_t literal_pages = 0;  // that were read

    bool next_is_shuffled();
  };

  Result<> read_all(ByteView batch, std::size_t original_bytes);
  Result<> read_operation(Rest& rest);
  Result<> read_opaque(Rest& rest);
  Result<> read_block_table(Rest& rest);
  Result<> read_pages(Rest& rest, Operation kind, unsigned flags);
  Result<Run> read_run(FieldReader& fields, Operation kind, unsigned flags);
  Result<> read_slot(FieldReader& fields, bool jumps, Run& run);
  Result<> check_room(const Run& run, Rest& rest) const;
  Result<> write_page(const Run& run, std::uint64_t slot, const stream::PagePlace& place, Rest& rest);
  Result<> write_literal(const Run& run, std::uint64_t slot, const stream::PagePlace& place, Rest& rest);

  PageStore store_;
  std::vector<bool> filled_;  // slots that hold something: the memory of the others is not for the guest
  std::vector<stream::RamBlock> blocks_;  // their names
  stream::Encoder encoder_;
  ExpectedRun expected_;
  std::array<std::byte, stream::kPageSize> page_{};  // that was shuffled
  bool broken_ = false;
};

}  // namespace vmigrate::reduce
