#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "stream/encoder.hpp"
#include "stream/records.hpp"

namespace vmigrate::stream {

/// Composes a migration stream from nothing, as QEMU writes one; what it has written is the caller's to take.
///
///   head, own_section*, ram_begin, { part, page*, end_part }*, last_part, page*, end_part, own_section*, end
///
/// The order is the caller's duty. The stream ends as QEMU's does, with an (empty) description of devices:
/// whoever waits for the end of a stream of QEMU finds that of this one.
class Composer {
 public:
  /// `machine`: at most 255 bytes. QEMU compares it with its own machine's name.
  void head(std::string_view machine);
  /// A section of our own (see kOwnSections): `name` without the prefix, less than 4 GiB of `body`.
  void own_section(std::string_view name, std::uint32_t version, ByteView body);
  /// Names of at most 255 bytes; sizes are multiples of the page size, and not all 0.
  void ram_begin(const std::vector<RamBlock>& blocks);
  /// A piece of a pass over the memory, the guest running.
  void part();
  /// The last piece: the guest is stopped.
  void last_part();
  /// 4096 bytes of content for `offset` in the block of that index.
  void page(std::size_t block, std::uint64_t offset, ByteView content);
  void zero_page(std::size_t block, std::uint64_t offset);
  void end_part();
  void end();

  void reserve(std::size_t size) { encoder_.reserve(size); }
  const ByteBuffer& output() const { return encoder_.output(); }
  /// Forgets what it has written; the memory for it is kept.
  void clear_output() { encoder_.clear_output(); }

 private:
  void number(std::uint64_t value, unsigned size);
  void short_string(std::string_view text);
  void footer(std::uint32_t section);
  PagePlace place(std::size_t block, std::uint64_t offset);

  Encoder encoder_;
  std::uint32_t next_section_ = 1;
  std::uint32_t ram_section_ = 0;
  std::optional<std::size_t> named_block_;
};

}  // namespace vmigrate::stream
