#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace vmigrate::stream {

/// One block of guest memory, as the stream's head lists them.
struct RamBlock {
  std::string name;
  std::uint64_t size = 0;  ///< bytes in use
};

/// Where a page belongs, and how the stream said so.
struct PagePlace {
  std::size_t block = 0;     ///< index into the block table
  std::uint64_t offset = 0;  ///< bytes into the block, a multiple of the page size
  bool named = false;        ///< the record repeats the block's name
};

/// Takes what the decoder finds, in the order of the stream. Written out again one after the other (see
/// Encoder), the records are the stream. Views are valid during the call only.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  /// Bytes that are carried as they are.
  virtual void opaque(ByteView bytes) = 0;
  /// The block list is complete. Stands for no bytes: they came as opaque.
  virtual void block_table(const std::vector<RamBlock>& blocks) = 0;
  /// 4096 bytes of content.
  virtual void page(const PagePlace& place, ByteView content) = 0;
  /// A page all of whose bytes are `fill`: 0 from every QEMU of today.
  virtual void zero_page(const PagePlace& place, std::byte fill) = 0;
  /// What changed of a page since it was sent last, in QEMU's XBZRLE. Stands for no bytes: they came as
  /// opaque.
  virtual void delta_page(const PagePlace& place) = 0;
  /// The vCPUs have stopped: what follows are the last pages. Stands for no bytes.
  virtual void last_pages() = 0;
  /// Everything of RAM has passed; only opaque bytes follow. Stands for no bytes.
  virtual void ram_end() = 0;
};

}  // namespace vmigrate::stream
