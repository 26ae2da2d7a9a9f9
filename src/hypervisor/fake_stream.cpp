#include "hypervisor/fake_stream.hpp"

#include <string_view>

#include <xxhash.h>

namespace vmigrate::hypervisor {
namespace {

constexpr std::uint32_t kPageSize = 4096;
constexpr std::uint32_t kRamSection = 2;
constexpr std::uint32_t kDeviceSection = 5;
constexpr std::uint64_t kZero = 0x02;
constexpr std::uint64_t kSize = 0x04;
constexpr std::uint64_t kPage = 0x08;
constexpr std::uint64_t kEnd = 0x10;
constexpr std::uint64_t kContinue = 0x20;
constexpr std::string_view kBlock = "pc.ram";

class Writer {
 public:
  Writer& number(std::uint64_t value, int size) {
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8)
      bytes_.push_back(static_cast<std::byte>(value >> shift));
    return *this;
  }
  Writer& text(std::string_view text) {
    const ByteView view = as_byte_view(text);
    bytes_.insert(bytes_.end(), view.begin(), view.end());
    return *this;
  }
  Writer& short_text(std::string_view value) { return number(value.size(), 1).text(value); }
  Writer& footer(std::uint32_t section) { return number(0x7e, 1).number(section, 4); }
  /// One page, every byte `fill`; a fill of 0 makes it a zero page.
  Writer& page(std::uint64_t index, std::uint8_t fill, bool first) {
    const std::uint64_t kind = fill == 0 ? kZero : kPage;
    number(index * kPageSize | kind | (first ? 0 : kContinue), 8);
    if (first) short_text(kBlock);
    bytes_.insert(bytes_.end(), fill == 0 ? 1 : kPageSize, static_cast<std::byte>(fill));
    return *this;
  }
  ByteBuffer take() { return std::move(bytes_); }

 private:
  ByteBuffer bytes_;
};

}  // namespace

FakeStream example_stream(std::uint32_t pages) {
  constexpr std::string_view machine = "pc-i440fx-7.2";
  Writer live;
  live.text("QEVM").number(3, 4);
  live.number(0x07, 1).number(machine.size(), 4).text(machine);
  live.number(0x08, 1).number(1, 2).number(0, 2);               // open the return path
  live.number(0x08, 1).number(2, 2).number(4, 2).number(1, 4);  // ping 1
  live.number(0x01, 1).number(kRamSection, 4).short_text("ram").number(0, 4).number(4, 4);
  live.number(std::uint64_t{pages} * kPageSize | kSize, 8)
      .short_text(kBlock)
      .number(std::uint64_t{pages} * kPageSize, 8);
  live.number(kEnd, 8).footer(kRamSection);
  live.number(0x02, 1).number(kRamSection, 4);
  for (std::uint32_t i = 0; i < pages; ++i) live.page(i, static_cast<std::uint8_t>(i % 251), i == 0);
  live.number(kEnd, 8).footer(kRamSection);

  Writer stopped;
  stopped.number(0x03, 1).number(kRamSection, 4).page(0, 0x5a, true).number(kEnd, 8).footer(kRamSection);
  stopped.number(0x04, 1).number(kDeviceSection, 4).short_text("timer").number(0, 4).number(2, 4);
  stopped.number(0, 8).number(0, 8).number(0, 8).footer(kDeviceSection);
  stopped.number(0x00, 1).number(0x06, 1).number(2, 4).text("{}");
  return {live.take(), stopped.take()};
}

ByteBuffer example_return_path() {
  return Writer().number(2, 2).number(4, 2).number(1, 4).number(1, 2).number(4, 2).number(0, 4).take();
}

std::uint64_t hash_of(ByteView bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace vmigrate::hypervisor
