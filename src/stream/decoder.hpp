#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "stream/records.hpp"

namespace vmigrate::stream {

/// Finds the pages in QEMU's migration stream, however it is cut into pieces.
///
/// The stream has no framing: the end of a section is found only by understanding it. So the decoder
/// understands what it must (the head, commands, sections of our own, the RAM section) and gives up on the
/// rest: from the first thing that it does not know, or that breaks a rule, everything is opaque bytes, for
/// good, and `opaque_reason()` says why. That is never an error. A stream that is not understood still has to
/// arrive, byte for byte.
///
/// Exactness is by construction. The stream is taken apart into units (a word with its page, a block's entry,
/// a section's head). A unit is either one record that says everything there was in it, or its bytes as they
/// are; and a unit is looked at only once all of it is there. What has arrived of an unfinished unit is held
/// back: at most one page and its head, whatever the stream claims.
///
/// After the end of RAM nothing needs to be understood, and most of it (the devices' state) cannot be.
class Decoder {
 public:
  /// Takes the next bytes of the stream and tells `sink` what they complete.
  void feed(ByteView bytes, RecordSink& sink);
  /// No more bytes come: what was held back is told as opaque.
  void finish(RecordSink& sink);

  /// The last of the bytes fed so far, which no record has told yet.
  ByteView held() const { return held_; }

  bool is_opaque() const { return place_ == Place::opaque; }
  /// Why it is opaque, for people; empty when it is not, or is because RAM has ended.
  const std::string& opaque_reason() const { return opaque_reason_; }

 private:
  /// What kind of unit comes next.
  enum class Place {
    file_header,
    section_type,
    configuration,
    configuration_subsection,
    command,
    section_start,
    section_id,
    own_section,
    own_length,
    own_body,
    block_entry,
    ram_word,
    footer,
    opaque,
  };

  /// How many bytes the unit has, as far as `unit`, its beginning, tells: more than unit.size() asks for
  /// more.
  std::size_t size_of_unit(ByteView unit) const;
  std::size_t size_of_subsection(ByteView unit) const;
  std::size_t size_of_ram_word(ByteView unit) const;

  void take_unit(ByteView unit, RecordSink& sink);
  void take_section_type(ByteView unit, RecordSink& sink);
  void take_subsection(ByteView unit, RecordSink& sink);
  void take_command(ByteView unit, RecordSink& sink);
  void take_section_start(ByteView unit, RecordSink& sink);
  void take_section_id(ByteView unit, RecordSink& sink);
  void take_own_section(ByteView unit, RecordSink& sink);
  void take_block_entry(ByteView unit, RecordSink& sink);
  void take_ram_word(ByteView unit, RecordSink& sink);
  void take_page(ByteView unit, std::uint64_t flags, std::uint64_t offset, RecordSink& sink);
  void take_footer(ByteView unit, RecordSink& sink);
  void pass_on(ByteView unit, Place next, RecordSink& sink);
  void give_up(ByteView unit, std::string reason, RecordSink& sink);

  Place place_ = Place::file_header;
  ByteBuffer held_;  // the beginning of a unit that is not complete
  std::string opaque_reason_;

  bool ignores_shared_ = false;  // block entries then carry an address
  std::uint8_t section_type_ = 0;
  std::uint32_t own_section_ = 0;
  std::uint64_t own_left_ = 0;  // bytes of its body that are still to come
  std::uint32_t ram_section_ = 0;
  bool ram_seen_ = false;
  bool ram_head_ = false;          // in the RAM section's START: the block list comes first
  std::uint64_t blocks_left_ = 0;  // bytes of memory that the block list has still to name
  std::vector<RamBlock> blocks_;
  std::size_t current_block_ = 0;
  bool block_named_ = false;
};

}  // namespace vmigrate::stream
