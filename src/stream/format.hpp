#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// Constants of QEMU's precopy migration stream, as migration/savevm.c and migration/ram.c of QEMU 7.2
/// to 11.0 write them. All integers in the stream are big-endian.
namespace vmigrate::stream {

inline constexpr std::size_t kPageSize = 4096;  // x86's target page

inline constexpr std::uint32_t kFileMagic = 0x5145564d;  // "QEVM"
inline constexpr std::uint32_t kFileVersion = 3;

enum SectionType : std::uint8_t {
  kSectionEof = 0x00,
  kSectionStart = 0x01,
  kSectionPart = 0x02,
  kSectionEnd = 0x03,
  kSectionFull = 0x04,
  kSubsection = 0x05,
  kVmDescription = 0x06,
  kConfiguration = 0x07,
  kCommand = 0x08,
  kSectionFooter = 0x7e,
};

enum Command : std::uint16_t {
  kOpenReturnPath = 1,
  kPing = 2,
  kPostcopyAdvise = 3,
  kSwitchoverStart = 11,
};

inline constexpr std::uint32_t kRamVersion = 4;

/// Sections of our own: SECTION_FULL whose name begins like this, which QEMU never uses. Their body tells its
/// own length (32 bits), so that they may stand before RAM as well: nobody has to understand them to find
/// their end.
inline constexpr std::string_view kOwnSections = "vmigrate/";

/// The low bits of a RAM record's first word; the rest is the page's offset in its block.
enum RamFlag : std::uint64_t {
  kRamZero = 0x002,
  kRamMemorySize = 0x004,
  kRamPage = 0x008,
  kRamEndOfSection = 0x010,
  kRamContinue = 0x020,  ///< the block is the one named last
  kRamXbzrle = 0x040,
  kRamMultifdFlush = 0x200,
};

}  // namespace vmigrate::stream
