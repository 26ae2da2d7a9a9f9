#include "stream/decoder.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stream/format.hpp"

namespace vmigrate::stream {
namespace {

// QEMU's machine names are some twenty characters, and a VM has a few dozen blocks.
constexpr std::size_t kLongestMachineName = 256;
constexpr std::size_t kMostBlocks = 4096;
constexpr std::size_t kMostCapabilities = 64;
constexpr std::size_t kLongestCommand = 4096;

std::uint64_t big_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint64_t>(byte);
  return value;
}

std::uint64_t number(ByteView unit, std::size_t offset, std::size_t size) {
  return big_endian(unit.subspan(offset, size));
}

/// The length byte of a short string at `offset`.
std::size_t length_at(ByteView unit, std::size_t offset) {
  return std::to_integer<std::size_t>(unit[offset]);
}

std::string string_at(ByteView unit, std::size_t offset) {
  return std::string(as_text(unit.subspan(offset + 1, length_at(unit, offset))));
}

}  // namespace

void Decoder::feed(ByteView bytes, RecordSink& sink) {
  while (!bytes.empty() && place_ != Place::opaque) {
    // A unit that is whole in `bytes` is taken from there; only one that is cut is put together by copying.
    if (held_.empty()) {
      std::size_t size = size_of_unit({});
      while (size <= bytes.size()) {
        const std::size_t larger = size_of_unit(bytes.first(size));
        if (larger == size) break;
        size = larger;
      }
      if (size <= bytes.size()) {
        const ByteView unit = bytes.first(size);
        bytes = bytes.subspan(size);
        take_unit(unit, sink);
        continue;
      }
    }
    const std::size_t wanted = size_of_unit(held_);
    const std::size_t taken = std::min(wanted - held_.size(), bytes.size());
    held_.insert(held_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    bytes = bytes.subspan(taken);
    // What has come may tell that the unit is longer.
    if (held_.size() == wanted && size_of_unit(held_) == wanted) {
      const ByteBuffer unit = std::exchange(held_, {});
      take_unit(unit, sink);
    }
  }
  if (!bytes.empty()) sink.opaque(bytes);
}

void Decoder::finish(RecordSink& sink) {
  if (!held_.empty()) sink.opaque(held_);
  held_.clear();
}

std::size_t Decoder::size_of_unit(ByteView unit) const {
  switch (place_) {
    case Place::file_header: return 8;
    case Place::section_type: return 1;
    case Place::configuration: {
      if (unit.size() < 4) return 4;
      return 4 + std::min<std::size_t>(number(unit, 0, 4), kLongestMachineName + 1);
    }
    case Place::configuration_subsection: return size_of_subsection(unit);
    case Place::command: {
      if (unit.size() < 4) return 4;
      return 4 + std::min<std::size_t>(number(unit, 2, 2), kLongestCommand + 1);
    }
    case Place::section_start: return unit.size() < 5 ? 5 : 5 + length_at(unit, 4) + 8;
    case Place::own_section: return unit.size() < 5 ? 5 : 5 + length_at(unit, 4) + 8;
    case Place::section_id:
    case Place::own_length: return 4;
    case Place::own_body: return std::min<std::size_t>(own_left_, kPageSize);
    case Place::block_entry:
      return unit.empty() ? 1 : 1 + length_at(unit, 0) + 8 + (ignores_shared_ ? 8U : 0U);
    case Place::ram_word: return size_of_ram_word(unit);
    case Place::footer: return 5;
    case Place::opaque: return 0;
  }
  return 0;
}

// The byte after the machine's name: a subsection, or already the next section's type.
std::size_t Decoder::size_of_subsection(ByteView unit) const {
  if (unit.empty()) return 1;
  if (std::to_integer<std::uint8_t>(unit[0]) != kSubsection) return 1;
  if (unit.size() < 2) return 2;
  const std::size_t head = 2 + length_at(unit, 1) + 4;
  if (unit.size() < head) return head;
  const auto name = string_at(unit, 1);
  if (name == "configuration/target-page-bits") return head + 4;
  if (name == "configuration/uuid") return head + 16;
  if (name != "configuration/capabilities") return head;  // unknown: given up on when taken
  if (unit.size() < head + 4) return head + 4;
  const std::size_t count = std::min<std::size_t>(number(unit, head, 4), kMostCapabilities + 1);
  std::size_t size = head + 4;
  for (std::size_t i = 0; i < count; ++i) {
    if (unit.size() < size + 1) return size + 1;
    size += 1 + length_at(unit, size);
  }
  return size;
}

std::size_t Decoder::size_of_ram_word(ByteView unit) const {
  if (unit.size() < 8) return 8;
  const std::uint64_t flags = number(unit, 0, 8) % kPageSize;
  const std::uint64_t kind = flags & ~std::uint64_t{kRamContinue};
  if (kind != kRamPage && kind != kRamZero && kind != kRamXbzrle) return 8;
  std::size_t size = 8;
  if ((flags & kRamContinue) == 0) {
    if (unit.size() < 9) return 9;
    size = 9 + length_at(unit, 8);
  }
  if (kind == kRamPage) return size + kPageSize;
  if (kind == kRamZero) return size + 1;
  if (unit.size() < size + 3) return size + 3;
  return size + 3 + std::min<std::size_t>(number(unit, size + 1, 2), kPageSize + 1);
}

void Decoder::take_unit(ByteView unit, RecordSink& sink) {
  switch (place_) {
    case Place::file_header:
      if (number(unit, 0, 4) != kFileMagic || number(unit, 4, 4) != kFileVersion) {
        return give_up(unit, "it does not begin like a QEMU migration stream", sink);
      }
      return pass_on(unit, Place::section_type, sink);
    case Place::section_type: return take_section_type(unit, sink);
    case Place::configuration:
      if (number(unit, 0, 4) > kLongestMachineName)
        return give_up(unit, "the machine's name is too long", sink);
      return pass_on(unit, Place::configuration_subsection, sink);
    case Place::configuration_subsection: return take_subsection(unit, sink);
    case Place::command: return take_command(unit, sink);
    case Place::section_start: return take_section_start(unit, sink);
    case Place::section_id: return take_section_id(unit, sink);
    case Place::own_section: return take_own_section(unit, sink);
    case Place::own_length:
      own_left_ = number(unit, 0, 4);
      return pass_on(unit, own_left_ == 0 ? Place::footer : Place::own_body, sink);
    case Place::own_body:
      own_left_ -= unit.size();
      return pass_on(unit, own_left_ == 0 ? Place::footer : Place::own_body, sink);
    case Place::block_entry: return take_block_entry(unit, sink);
    case Place::ram_word: return take_ram_word(unit, sink);
    case Place::footer: return take_footer(unit, sink);
    case Place::opaque: return sink.opaque(unit);
  }
}

void Decoder::take_section_type(ByteView unit, RecordSink& sink) {
  section_type_ = std::to_integer<std::uint8_t>(unit[0]);
  switch (section_type_) {
    case kConfiguration: return pass_on(unit, Place::configuration, sink);
    case kCommand: return pass_on(unit, Place::command, sink);
    case kSectionStart: return pass_on(unit, Place::section_start, sink);
    case kSectionPart:
    case kSectionEnd: return pass_on(unit, Place::section_id, sink);
    case kSectionFull: return pass_on(unit, Place::own_section, sink);
    default:
      return give_up(unit,
                     fmt::format("a section of type {:#04x} stands before the end of memory", section_type_),
                     sink);
  }
}

void Decoder::take_subsection(ByteView unit, RecordSink& sink) {
  if (std::to_integer<std::uint8_t>(unit[0]) != kSubsection) {
    place_ = Place::section_type;
    return take_section_type(unit, sink);
  }
  const auto name = string_at(unit, 1);
  const std::size_t head = 2 + name.size() + 4;
  if (name == "configuration/capabilities") {
    const std::uint64_t count = number(unit, head, 4);
    if (count > kMostCapabilities) return give_up(unit, "it names too many capabilities", sink);
    std::size_t at = head + 4;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto capability = string_at(unit, at);
      if (capability == "mapped-ram")
        return give_up(unit, "memory is laid out for a file (mapped-ram)", sink);
      if (capability == "x-ignore-shared") ignores_shared_ = true;
      at += 1 + capability.size();
    }
  } else if (name == "configuration/target-page-bits") {
    return give_up(unit, "its pages are not of the size that x86 has", sink);
  } else if (name != "configuration/uuid") {
    return give_up(unit, fmt::format("its configuration has the unknown part '{}'", name), sink);
  }
  pass_on(unit, Place::configuration_subsection, sink);
}

void Decoder::take_command(ByteView unit, RecordSink& sink) {
  const std::uint64_t command = number(unit, 0, 2);
  switch (command) {
    case kOpenReturnPath:
    case kPing: break;
    case kSwitchoverStart: sink.last_pages(); break;
    case kPostcopyAdvise:
      // Blocks of huge pages then carry their page size, and the stream alone does not say which they are.
      if (unit.size() >= 12 && number(unit, 4, 8) != kPageSize) {
        return give_up(unit, "post-copy with huge pages", sink);
      }
      break;
    default: return give_up(unit, fmt::format("it gives command {}", command), sink);
  }
  pass_on(unit, Place::section_type, sink);
}

void Decoder::take_section_start(ByteView unit, RecordSink& sink) {
  const auto name = string_at(unit, 4);
  const std::uint64_t version = number(unit, unit.size() - 4, 4);
  if (name != "ram" || version != kRamVersion || ram_seen_) {
    return give_up(
        unit, fmt::format("section '{}' version {} stands before the end of memory", name, version), sink);
  }
  ram_seen_ = true;
  ram_head_ = true;
  ram_section_ = static_cast<std::uint32_t>(number(unit, 0, 4));
  pass_on(unit, Place::ram_word, sink);
}

void Decoder::take_section_id(ByteView unit, RecordSink& sink) {
  if (!ram_seen_ || number(unit, 0, 4) != ram_section_) {
    return give_up(unit, "it goes on with a section that it did not begin", sink);
  }
  if (section_type_ == kSectionEnd) sink.last_pages();
  pass_on(unit, Place::ram_word, sink);
}

void Decoder::take_own_section(ByteView unit, RecordSink& sink) {
  const auto name = string_at(unit, 4);
  if (!name.starts_with(kOwnSections)) {
    return give_up(unit, fmt::format("section '{}' stands before the end of memory", name), sink);
  }
  own_section_ = static_cast<std::uint32_t>(number(unit, 0, 4));
  pass_on(unit, Place::own_length, sink);
}

void Decoder::take_block_entry(ByteView unit, RecordSink& sink) {
  RamBlock block{string_at(unit, 0), number(unit, 1 + length_at(unit, 0), 8)};
  if (block.size > blocks_left_ || blocks_.size() == kMostBlocks) {
    return give_up(unit, "the list of memory blocks does not add up", sink);
  }
  blocks_left_ -= block.size;
  blocks_.push_back(std::move(block));
  pass_on(unit, blocks_left_ == 0 ? Place::ram_word : Place::block_entry, sink);
  if (blocks_left_ == 0) sink.block_table(blocks_);
}

void Decoder::take_ram_word(ByteView unit, RecordSink& sink) {
  const std::uint64_t word = number(unit, 0, 8);
  const std::uint64_t flags = word % kPageSize;
  switch (flags & ~std::uint64_t{kRamContinue}) {
    case kRamMemorySize:
      if (!std::exchange(ram_head_, false) || word - flags == 0) {
        return give_up(unit, "the list of memory blocks is out of place", sink);
      }
      blocks_left_ = word - flags;
      return pass_on(unit, Place::block_entry, sink);
    case kRamPage:
    case kRamZero:
    case kRamXbzrle: return take_page(unit, flags, word - flags, sink);
    case kRamMultifdFlush: return pass_on(unit, Place::ram_word, sink);
    case kRamEndOfSection: return pass_on(unit, Place::footer, sink);
    default: return give_up(unit, fmt::format("a memory record has the flags {:#x}", flags), sink);
  }
}

void Decoder::take_page(ByteView unit, std::uint64_t flags, std::uint64_t offset, RecordSink& sink) {
  const bool named = (flags & kRamContinue) == 0;
  if (named) {
    const auto name = string_at(unit, 8);
    const auto block = std::find_if(blocks_.begin(), blocks_.end(),
                                    [&](const RamBlock& known) { return known.name == name; });
    if (block == blocks_.end())
      return give_up(unit, fmt::format("a page is of the unknown block '{}'", name), sink);
    current_block_ = static_cast<std::size_t>(block - blocks_.begin());
    block_named_ = true;
  }
  if (!block_named_ || blocks_[current_block_].size < kPageSize ||
      offset > blocks_[current_block_].size - kPageSize) {
    return give_up(unit, "a page lies outside its block", sink);
  }
  const PagePlace place{current_block_, offset, named};
  const std::uint64_t kind = flags & ~std::uint64_t{kRamContinue};
  if (kind == kRamPage) {
    sink.page(place, unit.last(kPageSize));
  } else if (kind == kRamZero) {
    sink.zero_page(place, unit.back());
  } else {
    const std::size_t head = named ? 9 + length_at(unit, 8) : 8;
    if (number(unit, head + 1, 2) > kPageSize)
      return give_up(unit, "a page's difference is longer than a page", sink);
    sink.opaque(unit);
    sink.delta_page(place);
  }
}

void Decoder::take_footer(ByteView unit, RecordSink& sink) {
  const auto section = section_type_ == kSectionFull ? own_section_ : ram_section_;
  if (std::to_integer<std::uint8_t>(unit[0]) != kSectionFooter || number(unit, 1, 4) != section) {
    return give_up(unit, "a section does not end where it should", sink);
  }
  if (section_type_ != kSectionEnd) return pass_on(unit, Place::section_type, sink);
  pass_on(unit, Place::opaque, sink);
  sink.ram_end();
}

void Decoder::pass_on(ByteView unit, Place next, RecordSink& sink) {
  sink.opaque(unit);
  place_ = next;
}

void Decoder::give_up(ByteView unit, std::string reason, RecordSink& sink) {
  opaque_reason_ = std::move(reason);
  pass_on(unit, Place::opaque, sink);
}

}  // namespace vmigrate::stream
