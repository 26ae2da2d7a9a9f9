#include "microvm/linux_image.hpp"

#include <cstring>
#include <functional>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "made_up_kernel.hpp"

namespace vmigrate::microvm {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kSize = std::uint64_t{16} << 20;

ByteBuffer some_kernel() {
  ByteBuffer kernel(5000);
  for (std::size_t i = 0; i < kernel.size(); ++i) kernel[i] = static_cast<std::byte>(i * 7);
  return kernel;
}

Result<Image> read(ByteView file, const LinuxOptions& options = {}) {
  return read_linux(file, options, memory_with_hole(kSize));
}

const Image::Part* part_at(const Image& image, std::uint64_t address) {
  for (const auto& part : image.parts) {
    if (part.guest_address == address) return &part;
  }
  return nullptr;
}

boot_params parameters_of(const Image& image) {
  boot_params parameters{};
  const auto* part = part_at(image, image.linux_start.value_or(LinuxStart{}).parameters);
  if (part != nullptr && part->content.size() == sizeof parameters)
    std::memcpy(&parameters, part->content.data(), sizeof parameters);
  return parameters;
}

/// What is said to a kernel whose header is changed so; nothing if it is taken.
std::string refusal(const std::function<void(setup_header&)>& change, const LinuxOptions& options = {}) {
  const auto kernel = some_kernel();
  auto header = usual_header(kernel.size());
  change(header);
  const auto image = read(make_bzimage(header, kernel), options);
  return image ? "" : image.error().message;
}

TEST(LinuxImage, IsPutIntoMemoryAsTheBootProtocolSays) {
  const auto kernel = some_kernel();
  LinuxOptions options{"console=ttyS0", ByteBuffer(5000, std::byte{'i'})};
  const auto image = read(make_bzimage(kernel), options);
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->entry, 0x100000U);
  ASSERT_NE(part_at(*image, 0x100000), nullptr);
  EXPECT_EQ(part_at(*image, 0x100000)->content, kernel);
  const auto parameters = parameters_of(*image);
  EXPECT_EQ(parameters.sentinel, 0);
  EXPECT_EQ(std::uint32_t{parameters.hdr.header}, 0x53726448U);
  EXPECT_EQ(parameters.hdr.type_of_loader, 0xff);
  EXPECT_EQ(std::uint32_t{parameters.hdr.init_size}, 0x100000U);
  EXPECT_EQ(std::uint64_t{parameters.hdr.setup_data}, 0U);
  ASSERT_EQ(parameters.e820_entries, 2);
  EXPECT_EQ(std::uint64_t{parameters.e820_table[0].size}, 0xa0000U);
  EXPECT_EQ(std::uint64_t{parameters.e820_table[1].addr}, 0x100000U);
  EXPECT_EQ(std::uint64_t{parameters.e820_table[1].size}, kSize - 0xa0000);
  const auto* line = part_at(*image, parameters.hdr.cmd_line_ptr);
  ASSERT_NE(line, nullptr);
  EXPECT_EQ(as_text(line->content), "console=ttyS0");
  EXPECT_EQ(line->size, line->content.size() + 1);
  // The highest whole pages, and behind what the kernel needs.
  const std::uint64_t initrd = parameters.hdr.ramdisk_image;
  EXPECT_EQ(std::uint32_t{parameters.hdr.ramdisk_size}, 5000U);
  EXPECT_EQ(initrd, 0x100000 + kSize - 0xa0000 - 2 * 4096);
  ASSERT_NE(part_at(*image, initrd), nullptr);
  EXPECT_EQ(part_at(*image, initrd)->content, options.initrd);
}

TEST(LinuxImage, AnInitrdIsWhereTheKernelReachesIt) {
  const auto kernel = some_kernel();
  auto header = usual_header(kernel.size());
  header.initrd_addr_max = 0x4fffff;
  const auto image = read(make_bzimage(header, kernel), {"", ByteBuffer(4096)});
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(std::uint32_t{parameters_of(*image).hdr.ramdisk_image}, 0x4ff000U);
}

TEST(LinuxImage, WhatIsNoneIsTakenForNone) {
  const auto file = make_bzimage(some_kernel());
  EXPECT_TRUE(is_linux(file));
  for (const std::size_t at : {0x1feU, 0x202U, 0x205U}) {
    auto other = file;
    other[at] ^= std::byte{1};
    EXPECT_FALSE(is_linux(other));
    EXPECT_FALSE(read(other));
  }
  EXPECT_FALSE(is_linux({}));
}

TEST(LinuxImage, ZeroSectorsAreFour) {
  EXPECT_EQ(refusal([](setup_header& header) { header.setup_sects = 0; }), "");
}

TEST(LinuxImage, AHeaderThatMakesNoSenseIsRefused) {
  EXPECT_EQ(refusal([](setup_header&) {}), "");
  EXPECT_THAT(refusal([](setup_header& header) { header.version = 0x204; }),
              HasSubstr("boot protocol is 2.04"));
  EXPECT_THAT(refusal([](setup_header& header) { header.loadflags = 0; }), HasSubstr("zImage"));
  EXPECT_THAT(refusal([](setup_header& header) { header.jump = 0x10eb; }), HasSubstr("too short"));
  EXPECT_THAT(refusal([](setup_header& header) { header.syssize = 0; }), HasSubstr("cut short"));
  EXPECT_THAT(refusal([](setup_header& header) { header.syssize += 1; }), HasSubstr("cut short"));
  EXPECT_THAT(refusal([](setup_header& header) { header.syssize = 0xffffffff; }), HasSubstr("cut short"));
  EXPECT_THAT(refusal([](setup_header& header) { header.kernel_alignment = 0; }), HasSubstr("no sense"));
  EXPECT_THAT(refusal([](setup_header& header) { header.kernel_alignment = 3; }), HasSubstr("no sense"));
  EXPECT_THAT(refusal([](setup_header& header) { header.pref_address = 0; }), HasSubstr("no sense"));
  EXPECT_THAT(refusal([](setup_header& header) { header.pref_address = ~0ULL; }), HasSubstr("no sense"));
  EXPECT_THAT(refusal([](setup_header& header) { header.init_size = 0; }), HasSubstr("no sense"));
}

TEST(LinuxImage, MoreSectorsThanThereAreIsRefused) {
  auto file = make_bzimage(some_kernel());
  for (const unsigned sectors : {2U, 11U, 255U}) {
    file[0x1f1] = static_cast<std::byte>(sectors);
    const auto image = read(file);
    ASSERT_FALSE(image) << sectors;
    EXPECT_THAT(image.error().message, HasSubstr("cut short"));
  }
}

TEST(LinuxImage, WhatDoesNotFitIsRefused) {
  EXPECT_THAT(refusal([](setup_header& header) { header.init_size = 0xffffffff; }),
              HasSubstr("the VM has 16.4 MiB"));
  EXPECT_THAT(refusal([](setup_header& header) { header.pref_address = 0xfff00000; }),
              HasSubstr("to begin with"));
  EXPECT_THAT(refusal([](setup_header& header) { header.kernel_alignment = 0x80000000; }),
              HasSubstr("to begin with"));
  EXPECT_THAT(refusal([](setup_header&) {}, {std::string(2048, 'x'), {}}),
              HasSubstr("the kernel takes 2047"));
  EXPECT_THAT(
      refusal([](setup_header& header) { header.cmdline_size = 0xffffffff; }, {std::string(65536, 'x'), {}}),
      HasSubstr("the kernel takes 65535"));
  EXPECT_THAT(refusal([](setup_header&) {}, {"", ByteBuffer(kSize)}), HasSubstr("does not fit"));
  for (const std::uint32_t highest : {0U, 0x1000U, 0x300fffU}) {
    EXPECT_THAT(
        refusal([&](setup_header& header) { header.initrd_addr_max = highest; }, {"", ByteBuffer(4097)}),
        HasSubstr("does not fit"));
  }
  const auto low_only = read_linux(make_bzimage(some_kernel()), {}, {{"low", 0, 0xa0000, false}});
  ASSERT_FALSE(low_only);
  EXPECT_THAT(low_only.error().message, HasSubstr("no memory at 1 MiB"));
}

TEST(LinuxImage, EveryTruncationIsRefused) {
  const auto file = make_bzimage(some_kernel());
  // Up to 15 bytes of the last paragraph may be missing.
  for (std::size_t size = 0; size + 16 < file.size(); ++size)
    ASSERT_FALSE(read(ByteView(file).first(size))) << size;
  EXPECT_TRUE(read(file));
}

RC_GTEST_PROP(LinuxImage, AnyHeaderIsRefusedOrFits,
              (const std::vector<std::uint8_t>& noise, std::size_t at)) {
  auto file = make_bzimage(some_kernel());
  for (const auto byte : noise) file[0x1f1 + at++ % sizeof(setup_header)] = static_cast<std::byte>(byte);
  const auto image = read(file, {"x", ByteBuffer(4096)});
  if (!image) return;
  for (const auto& part : image->parts) {
    RC_ASSERT(part.guest_address + part.size <= 0x100000 + kSize - 0xa0000);
    RC_ASSERT(part.content.size() <= part.size);
  }
}

}  // namespace
}  // namespace vmigrate::microvm
