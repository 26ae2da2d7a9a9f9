#include "stream/description_filter.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "stream/format.hpp"

namespace vmigrate::stream {
namespace {

// End of file, type byte, length; then the text, an object.
constexpr std::size_t kHeadSize = 6;
constexpr std::array kHeadBegin{std::byte{kSectionEof}, std::byte{kVmDescription}};
constexpr std::array kEmptyDescription{std::byte{kSectionEof}, std::byte{kVmDescription},
                                       std::byte{0},           std::byte{0},
                                       std::byte{0},           std::byte{2},
                                       std::byte{'{'},         std::byte{'}'}};
// Those of big machines have a few hundred kilobytes. It bounds what is held back, too.
constexpr std::size_t kLargest = std::size_t{2} << 20;

void append(ByteBuffer& to, ByteView bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::size_t next_head(ByteView bytes, std::size_t from) {
  const auto found = std::search(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.end(),
                                 kHeadBegin.begin(), kHeadBegin.end());
  if (found != bytes.end()) return static_cast<std::size_t>(found - bytes.begin());
  // The last byte may be the first of a head.
  return !bytes.empty() && bytes.size() > from && bytes.back() == kHeadBegin[0] ? bytes.size() - 1
                                                                                : bytes.size();
}

std::size_t text_size(ByteView head) {
  std::size_t size = 0;
  for (const auto byte : head.subspan(2, 4)) size = size << 8 | std::to_integer<std::size_t>(byte);
  return size;
}

}  // namespace

void DescriptionFilter::feed(ByteView bytes, ByteBuffer& out) {
  append(held_, bytes);
  const ByteView all = held_;
  std::size_t certain = all.size();  // nothing that may be a description begins before this
  for (auto head = next_head(all, 0); head < all.size(); head = next_head(all, head + 1)) {
    const auto rest = all.subspan(head);
    if (rest.size() <= kHeadSize) {
      certain = std::min(certain, head);
      break;
    }
    const auto text = rest.subspan(kHeadSize);
    const auto size = text_size(rest);
    if (size > kLargest || text[0] != std::byte{'{'} || size < text.size()) continue;
    if (size > text.size()) {
      certain = std::min(certain, head);
    } else if (nlohmann::json::accept(as_text(text))) {
      append(out, all.first(head));
      append(out, kEmptyDescription);
      held_.clear();
      complete_ = true;
      return;
    }
  }
  append(out, all.first(certain));
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(certain));
}

void DescriptionFilter::release(ByteBuffer& out) {
  append(out, std::exchange(held_, {}));
}

}  // namespace vmigrate::stream
