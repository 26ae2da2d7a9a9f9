#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "stream/records.hpp"

namespace vmigrate::stream {

/// Writes records as the stream that they were. What it has written is the caller's to take.
class Encoder : public RecordSink {
 public:
  void opaque(ByteView bytes) override;
  void block_table(const std::vector<RamBlock>& blocks) override;
  void page(const PagePlace& place, ByteView content) override;
  void zero_page(const PagePlace& place, std::byte fill) override;
  void delta_page(const PagePlace&) override {}
  void last_pages() override {}
  void ram_end() override {}

  /// Takes memory for `size` bytes of output at once.
  void reserve(std::size_t size) { output_.reserve(size); }
  const ByteBuffer& output() const { return output_; }
  ByteBuffer take_output() { return std::exchange(output_, {}); }
  /// Forgets what it has written; the memory for it is kept.
  void clear_output() { output_.clear(); }

 private:
  void page_head(const PagePlace& place, std::uint64_t flag);

  std::vector<RamBlock> blocks_;
  ByteBuffer output_;
};

}  // namespace vmigrate::stream
