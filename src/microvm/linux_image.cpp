#include "microvm/linux_image.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <asm/bootparam.h>
#include <fmt/format.h>

namespace vmigrate::microvm {
namespace {

constexpr std::size_t kHeader = 0x1f1;
constexpr std::size_t kJump = 0x200;
constexpr std::size_t kBehindJump = 0x202;
constexpr std::size_t kSector = 512;
constexpr std::size_t kParagraph = 16;
constexpr std::uint16_t kBootFlag = 0xaa55;
constexpr std::uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr std::uint16_t kOldestVersion = 0x20a;
constexpr std::uint8_t kNoAssignedLoader = 0xff;
constexpr std::uint16_t kNormalVideo = 0xffff;
constexpr std::uint32_t kRam = 1;  // E820_TYPE_RAM
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kFourGib = std::uint64_t{1} << 32;

// Below 640 KiB, where the kernel looks for nothing of its own before it has read them.
constexpr std::uint32_t kDescriptorTable = 0x1000;
constexpr std::uint32_t kParameters = 0x7000;
constexpr std::uint32_t kCommandLine = 0x20000;
constexpr std::size_t kLongestCommandLine = 0xffff;

/// What the boot protocol wants to find behind the selectors 0x10 and 0x18: flat code and data.
constexpr std::array<std::uint64_t, 4> kDescriptors{0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};

tl::unexpected<Error> cannot_boot(std::string why, std::string hint = "use a bzImage of Linux for x86") {
  return fail(ErrorCode::usage, std::move(why), std::move(hint));
}

tl::unexpected<Error> cut_short() {
  return cannot_boot("the kernel is cut short", "look whether the file was copied as a whole");
}

template <class Structure>
ByteBuffer bytes_of(const Structure& structure) {
  ByteBuffer bytes(sizeof structure);
  std::memcpy(bytes.data(), &structure, sizeof structure);
  return bytes;
}

/// The header is as long as the jump over it is wide; what a kernel's own is shorter than ours is zero.
Result<setup_header> read_header(ByteView file) {
  if (file.size() <= kBehindJump) return cut_short();
  const auto end = kBehindJump + std::to_integer<std::size_t>(file[kJump + 1]);
  constexpr auto needed = kHeader + offsetof(setup_header, handover_offset);
  if (end < needed) return cannot_boot("the kernel's header is too short for its version");
  if (file.size() < end) return cut_short();
  setup_header header{};
  std::memcpy(&header, file.data() + kHeader, std::min(end - kHeader, sizeof header));
  return header;
}

Result<> check(const setup_header& header) {
  const auto version = header.version;
  if (version < kOldestVersion) {
    return cannot_boot(
        fmt::format("the kernel's boot protocol is {}.{:02}, and 2.10 is the oldest that is known here",
                    version >> 8, version & 0xff),
        "use a kernel since 2.6.31");
  }
  if ((header.loadflags & LOADED_HIGH) == 0)
    return cannot_boot("the kernel is a zImage, which is loaded below 1 MiB");
  const std::uint32_t alignment = header.kernel_alignment;
  if (header.init_size == 0 || header.pref_address < kHighMemory || header.pref_address >= kFourGib ||
      alignment == 0 || (alignment & (alignment - 1)) != 0) {
    return cannot_boot("the kernel's header makes no sense: it does not say where the kernel can run");
  }
  return {};
}

/// What runs in protected mode, behind the sectors for real mode.
Result<ByteView> find_kernel(ByteView file, const setup_header& header) {
  constexpr std::size_t unsaid = 4;
  const std::size_t sectors = header.setup_sects == 0 ? unsaid : header.setup_sects;
  const auto begin = (sectors + 1) * kSector;
  const auto size = std::size_t{header.syssize} * kParagraph;
  // The last paragraph need not be whole.
  if (size == 0 || begin >= file.size() || file.size() - begin + kParagraph <= size) return cut_short();
  return file.subspan(begin, std::min(size, file.size() - begin));
}

/// The slot that the kernel is put into, at its beginning.
Result<const Memory*> find_high(const std::vector<Memory>& memory) {
  for (const auto& slot : memory) {
    if (slot.guest_address == kHighMemory && !slot.read_only) return &slot;
  }
  return cannot_boot("the VM has no memory at 1 MiB, where a kernel begins", "");
}

/// Where the kernel, unpacked, ends: below that there is nothing of anybody else's.
std::uint64_t end_of_kernel(const setup_header& header, std::size_t size) {
  const std::uint64_t alignment = header.kernel_alignment;
  std::uint64_t begin = header.pref_address;
  if (header.relocatable_kernel != 0)
    begin = std::max(begin, (kHighMemory + alignment - 1) & ~(alignment - 1));
  return std::max(begin + header.init_size, kHighMemory + size);
}

/// The highest place that is whole pages, and that the kernel can reach.
Result<std::uint64_t> place_initrd(const setup_header& header, std::uint64_t size, std::uint64_t behind,
                                   std::uint64_t end) {
  end = std::min({end, std::uint64_t{header.initrd_addr_max} + 1, kFourGib});
  if (end >= behind && size <= end - behind) {
    const auto place = (end - size) & ~(kPage - 1);
    if (place >= behind) return place;
  }
  return cannot_boot(
      fmt::format("an initrd of {} does not fit into the VM's memory: the kernel needs the first {} and "
                  "reaches up to {}",
                  to_string(Bytes{size}), to_string(Bytes{behind}), to_string(Bytes{end})),
      "give the VM more memory");
}

void describe_memory(const std::vector<Memory>& memory, boot_params& parameters) {
  for (const auto& slot : memory) {
    if (slot.read_only || parameters.e820_entries == E820_MAX_ENTRIES_ZEROPAGE) continue;
    parameters.e820_table[parameters.e820_entries++] = {slot.guest_address, slot.size, kRam};
  }
}

boot_params parameters_for(const setup_header& header, const std::vector<Memory>& memory) {
  boot_params parameters{};
  parameters.hdr = header;
  parameters.hdr.type_of_loader = kNoAssignedLoader;
  parameters.hdr.vid_mode = kNormalVideo;
  parameters.hdr.code32_start = static_cast<std::uint32_t>(kHighMemory);
  parameters.hdr.cmd_line_ptr = kCommandLine;
  parameters.hdr.setup_data = 0;
  describe_memory(memory, parameters);
  return parameters;
}

}  // namespace

bool is_linux(ByteView file) {
  if (file.size() < kBehindJump + sizeof kMagic) return false;
  std::uint16_t flag = 0;
  std::uint32_t magic = 0;
  std::memcpy(&flag, file.data() + kHeader + offsetof(setup_header, boot_flag), sizeof flag);
  std::memcpy(&magic, file.data() + kBehindJump, sizeof magic);
  return flag == kBootFlag && magic == kMagic;
}

Result<Image> read_linux(ByteView file, const LinuxOptions& options, const std::vector<Memory>& memory) {
  if (!is_linux(file)) return cannot_boot("this is no Linux kernel");
  const auto header = read_header(file);
  if (!header) return fail(header.error());
  if (auto checked = check(*header); !checked) return fail(checked.error());
  const auto kernel = find_kernel(file, *header);
  if (!kernel) return fail(kernel.error());
  const auto longest = std::min<std::size_t>(header->cmdline_size, kLongestCommandLine);
  if (options.command_line.size() > longest) {
    return cannot_boot(fmt::format("the command line has {} characters, and the kernel takes {}",
                                   options.command_line.size(), longest),
                       "use a shorter one");
  }
  const auto high = find_high(memory);
  if (!high) return fail(high.error());
  const auto needed = end_of_kernel(*header, kernel->size());
  const auto end = kHighMemory + (*high)->size;
  if (needed > end) {
    return cannot_boot(fmt::format("the kernel needs {} to begin with, and the VM has {}",
                                   to_string(Bytes{needed}), to_string(Bytes{end})),
                       "give the VM more memory");
  }
  auto parameters = parameters_for(*header, memory);
  Image image;
  image.entry = parameters.hdr.code32_start;
  image.parts.push_back({kHighMemory, kernel->size(), copy_of(*kernel)});
  if (!options.initrd.empty()) {
    const auto place = place_initrd(*header, options.initrd.size(), needed, end);
    if (!place) return fail(place.error());
    parameters.hdr.ramdisk_image = static_cast<std::uint32_t>(*place);
    parameters.hdr.ramdisk_size = static_cast<std::uint32_t>(options.initrd.size());
    image.parts.push_back({*place, options.initrd.size(), options.initrd});
  }
  image.parts.push_back({kDescriptorTable, sizeof kDescriptors, bytes_of(kDescriptors)});
  image.parts.push_back(
      {kCommandLine, options.command_line.size() + 1, copy_of(as_byte_view(options.command_line))});
  image.parts.push_back({kParameters, sizeof parameters, bytes_of(parameters)});
  image.linux_start = LinuxStart{kParameters, kDescriptorTable, sizeof kDescriptors};
  return image;
}

}  // namespace vmigrate::microvm
