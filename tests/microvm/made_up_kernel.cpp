#include "made_up_kernel.hpp"

#include <algorithm>
#include <cstring>

namespace vmigrate::microvm {
namespace {

constexpr std::size_t kHeader = 0x1f1;
constexpr std::size_t kSector = 512;

}  // namespace

setup_header usual_header(std::size_t kernel_size) {
  setup_header header{};
  header.setup_sects = 1;
  header.syssize = static_cast<std::uint32_t>((kernel_size + 15) / 16);
  header.boot_flag = 0xaa55;
  // jmp over the header
  header.jump = static_cast<std::uint16_t>(0xeb | (kHeader + sizeof header - 0x202) << 8);
  header.header = 0x53726448;
  header.version = 0x20f;
  header.loadflags = LOADED_HIGH;
  header.code32_start = 0x100000;
  header.initrd_addr_max = 0x7fffffff;
  header.kernel_alignment = 0x200000;
  header.relocatable_kernel = 1;
  header.cmdline_size = 2047;
  header.pref_address = 0x200000;
  header.init_size = 0x100000;
  header.setup_data = 0x1234;  // of no boot loader that we know
  return header;
}

ByteBuffer make_bzimage(const setup_header& header, ByteView kernel) {
  const std::size_t sectors = header.setup_sects == 0 ? 4 : header.setup_sects;
  ByteBuffer file((sectors + 1) * kSector, std::byte{0xee});
  std::memcpy(file.data() + kHeader, &header, sizeof header);
  file.insert(file.end(), kernel.begin(), kernel.end());
  return file;
}

ByteBuffer make_bzimage(ByteView kernel) {
  return make_bzimage(usual_header(kernel.size()), kernel);
}

}  // namespace vmigrate::microvm
