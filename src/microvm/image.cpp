#include "microvm/image.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include <elf.h>
#include <fmt/format.h>

#include "microvm/configuration.hpp"

namespace vmigrate::microvm {
namespace {

constexpr std::size_t kLargestFile = std::size_t{256} << 20;

tl::unexpected<Error> bad_image(std::string why) {
  return fail(ErrorCode::usage, std::move(why),
              "use a flat image, a 32-bit ELF program for x86 or a bzImage of Linux");
}

/// A structure of the file, if all of it is there.
template <class Structure>
Result<Structure> structure_at(ByteView file, std::uint64_t offset) {
  if (offset > file.size() || file.size() - offset < sizeof(Structure))
    return bad_image("the image is cut short");
  Structure structure;
  std::memcpy(&structure, file.data() + offset, sizeof structure);
  return structure;
}

Result<Image> read_elf(ByteView file) {
  const auto head = structure_at<Elf32_Ehdr>(file, 0);
  if (!head) return fail(head.error());
  if (head->e_ident[EI_CLASS] != ELFCLASS32 || head->e_machine != EM_386)
    return bad_image("the image is for another processor");
  Image image;
  image.entry = head->e_entry;
  for (unsigned i = 0; i < head->e_phnum; ++i) {
    const auto part = structure_at<Elf32_Phdr>(file, head->e_phoff + std::uint64_t{i} * sizeof(Elf32_Phdr));
    if (!part) return fail(part.error());
    if (part->p_type != PT_LOAD || part->p_memsz == 0) continue;
    if (part->p_offset > file.size() || file.size() - part->p_offset < part->p_filesz ||
        part->p_filesz > part->p_memsz) {
      return bad_image("the image is cut short");
    }
    image.parts.push_back(
        {part->p_paddr, part->p_memsz, copy_of(file.subspan(part->p_offset, part->p_filesz))});
  }
  if (image.parts.empty()) return bad_image("the image has nothing in it to run");
  return image;
}

}  // namespace

Result<Image> read_image(ByteView file) {
  if (file.empty()) return bad_image("the image is empty");
  if (as_text(file).starts_with(ELFMAG)) return read_elf(file);
  return Image{{{kHighMemory, file.size(), copy_of(file)}}, static_cast<std::uint32_t>(kHighMemory)};
}

Result<ByteBuffer> load_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return fail(ErrorCode::not_found, fmt::format("cannot read {}", path));
  const std::streamoff end = file.tellg();
  if (end < 0) return fail(ErrorCode::usage, fmt::format("{} is no file that can be read", path));
  const auto size = static_cast<std::size_t>(end);
  if (size > kLargestFile) return fail(ErrorCode::usage, fmt::format("{} is too large", path));
  ByteBuffer bytes(size);
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size)))
    return fail(ErrorCode::failed, fmt::format("cannot read {}", path));
  return bytes;
}

}  // namespace vmigrate::microvm
