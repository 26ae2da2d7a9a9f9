#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "stream/format.hpp"

namespace vmigrate::stream {

/// Writes the pieces of a migration stream by hand.
class StreamWriter {
 public:
  StreamWriter& number(std::uint64_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
      out.push_back(static_cast<std::byte>(value >> shift & 0xff));
    return *this;
  }
  StreamWriter& text(std::string_view value) {
    for (const char character : value) out.push_back(static_cast<std::byte>(character));
    return *this;
  }
  StreamWriter& short_string(std::string_view value) { return number(value.size(), 1).text(value); }
  StreamWriter& head() { return number(kFileMagic, 4).number(kFileVersion, 4); }
  StreamWriter& configuration(std::string_view machine) {
    return number(kConfiguration, 1).number(machine.size(), 4).text(machine);
  }
  StreamWriter& section_start(std::uint32_t id, std::string_view name, std::uint32_t version) {
    return number(kSectionStart, 1).number(id, 4).short_string(name).number(0, 4).number(version, 4);
  }
  StreamWriter& section(SectionType type, std::uint32_t id) { return number(type, 1).number(id, 4); }
  StreamWriter& end_of_section(std::uint32_t id) {
    return number(kRamEndOfSection, 8).number(kSectionFooter, 1).number(id, 4);
  }
  StreamWriter& page(std::uint64_t offset, std::string_view block, char fill) {
    number(offset | kRamPage | (block.empty() ? std::uint64_t{kRamContinue} : 0), 8);
    if (!block.empty()) short_string(block);
    return text(std::string(kPageSize, fill));
  }
  StreamWriter& zero_page(std::uint64_t offset, std::string_view block = {}, std::uint8_t fill = 0) {
    number(offset | kRamZero | (block.empty() ? std::uint64_t{kRamContinue} : 0), 8);
    if (!block.empty()) short_string(block);
    return number(fill, 1);
  }

  ByteBuffer out;
};

/// Two blocks, three passes of which the last is with the guest stopped, every kind of record, then device
/// state.
inline ByteBuffer sample_stream() {
  StreamWriter w;
  w.head().configuration("pc-q35-7.2");
  w.number(kCommand, 1).number(kOpenReturnPath, 2).number(0, 2);
  w.number(kCommand, 1).number(kPing, 2).number(4, 2).number(1, 4);
  w.section_start(2, "ram", kRamVersion).number(5 * kPageSize | kRamMemorySize, 8);
  w.short_string("pc.ram")
      .number(4 * kPageSize, 8)
      .short_string("/rom@a")
      .number(kPageSize, 8)
      .end_of_section(2);
  w.section(kSectionPart, 2)
      .page(0, "pc.ram", 'a')
      .zero_page(kPageSize)
      .page(2 * kPageSize, "", 'b')
      .end_of_section(2);
  w.section(kSectionPart, 2)
      .zero_page(3 * kPageSize)
      .page(0, "/rom@a", 'r')
      .number(kRamMultifdFlush, 8)
      .end_of_section(2);
  w.section(kSectionPart, 2).page(kPageSize, "pc.ram", 'c');
  w.number(2 * kPageSize | kRamXbzrle | kRamContinue, 8)
      .number(1, 1)
      .number(5, 2)
      .text("\x03\x03xyz")
      .end_of_section(2);
  w.section(kSectionEnd, 2).page(0, "", 'd').zero_page(kPageSize, "pc.ram").end_of_section(2);
  w.number(kSectionFull, 1)
      .number(7, 4)
      .short_string("cpu")
      .number(0, 4)
      .number(1, 4)
      .text("whatever a cpu says");
  w.number(kSectionFooter, 1)
      .number(7, 4)
      .number(kSectionEof, 1)
      .number(kVmDescription, 1)
      .number(2, 4)
      .text("{}");
  return w.out;
}

}  // namespace vmigrate::stream
