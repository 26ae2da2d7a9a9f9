#include "stream/composer.hpp"

#include <array>

#include "stream/format.hpp"

namespace vmigrate::stream {

void Composer::head(std::string_view machine) {
  number(kFileMagic, 4);
  number(kFileVersion, 4);
  number(kConfiguration, 1);
  number(machine.size(), 4);
  encoder_.opaque(as_byte_view(machine));
}

void Composer::own_section(std::string_view name, std::uint32_t version, ByteView body) {
  const auto section = next_section_++;
  number(kSectionFull, 1);
  number(section, 4);
  number(kOwnSections.size() + name.size(), 1);
  encoder_.opaque(as_byte_view(kOwnSections));
  encoder_.opaque(as_byte_view(name));
  number(0, 4);  // instance
  number(version, 4);
  number(body.size(), 4);
  encoder_.opaque(body);
  footer(section);
}

void Composer::ram_begin(const std::vector<RamBlock>& blocks) {
  encoder_.block_table(blocks);
  ram_section_ = next_section_++;
  number(kSectionStart, 1);
  number(ram_section_, 4);
  short_string("ram");
  number(0, 4);  // instance
  number(kRamVersion, 4);
  std::uint64_t total = 0;
  for (const auto& block : blocks) total += block.size;
  number(total | kRamMemorySize, 8);
  for (const auto& block : blocks) {
    short_string(block.name);
    number(block.size, 8);
  }
  end_part();
}

void Composer::part() {
  number(kSectionPart, 1);
  number(ram_section_, 4);
}

void Composer::last_part() {
  number(kSectionEnd, 1);
  number(ram_section_, 4);
}

void Composer::page(std::size_t block, std::uint64_t offset, ByteView content) {
  encoder_.page(place(block, offset), content);
}

void Composer::zero_page(std::size_t block, std::uint64_t offset) {
  encoder_.zero_page(place(block, offset), std::byte{0});
}

void Composer::end_part() {
  number(kRamEndOfSection, 8);
  footer(ram_section_);
}

void Composer::end() {
  constexpr std::string_view description = "{}";
  number(kSectionEof, 1);
  number(kVmDescription, 1);
  number(description.size(), 4);
  encoder_.opaque(as_byte_view(description));
}

void Composer::number(std::uint64_t value, unsigned size) {
  std::array<std::byte, 8> bytes;
  for (unsigned i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(value >> 8 * (size - 1 - i) & 0xff);
  encoder_.opaque(ByteView(bytes).first(size));
}

void Composer::short_string(std::string_view text) {
  number(text.size(), 1);
  encoder_.opaque(as_byte_view(text));
}

void Composer::footer(std::uint32_t section) {
  number(kSectionFooter, 1);
  number(section, 4);
}

PagePlace Composer::place(std::size_t block, std::uint64_t offset) {
  const bool named = named_block_ != block;
  named_block_ = block;
  return {block, offset, named};
}

}  // namespace vmigrate::stream
