#include "reduce/sent_pages.hpp"

#include <algorithm>
#include <cstring>

namespace vmigrate::reduce {
namespace {

// The page's number has 52 bits: offsets are 64-bit and a page has 12.
std::uint64_t place_number(const stream::PagePlace& place) {
  return std::uint64_t{place.block} << 52 | place.offset / kPageSize;
}

// A page that finds no slot to take over costs this many looks at most.
constexpr std::size_t kLongestSearch = 64;

}  // namespace

SentPages::SentPages(std::size_t slots) : store_(slots), by_place_(slots), by_content_(slots) {
  entries_.reserve(slots);
}

void SentPages::arrive(const stream::PagePlace& place) {
  const std::uint64_t number = place_number(place);
  if (pass_ == 0 || number <= place_) ++pass_;
  place_ = number;
}

std::optional<Slot> SentPages::of_this_place() const {
  return by_place_.find(place_, [&](Slot slot) { return entries_[slot].place == place_; });
}

std::optional<Slot> SentPages::with_content(std::uint64_t hash, ByteView content) const {
  return by_content_.find(hash, [&](Slot slot) {
    return entries_[slot].hash == hash &&
           std::memcmp(store_.content(slot).data(), content.data(), kPageSize) == 0;
  });
}

std::optional<Slot> SentPages::claim() {
  std::optional<Slot> slot;
  if (entries_.size() < slots()) {
    slot = static_cast<Slot>(entries_.size());
    entries_.emplace_back();
  } else if (pass_ > 1 && slots() > 0) {
    slot = give_up_one();
    if (!slot) return std::nullopt;
    by_place_.erase(entries_[*slot].place, *slot);
    by_content_.erase(entries_[*slot].hash, *slot);
  } else {
    return std::nullopt;
  }
  // As if last of use in the pass before: it has to prove itself in the next one.
  entries_[*slot] = {place_, 0, pass_ - 1};
  by_place_.insert(place_, *slot);
  return slot;
}

std::optional<Slot> SentPages::give_up_one() {
  for (std::size_t looks = std::min(kLongestSearch, slots()); looks > 0; --looks) {
    const auto slot = static_cast<Slot>(hand_);
    hand_ = (hand_ + 1) % slots();
    const Entry& entry = entries_[slot];
    const std::uint32_t passes_since = pass_ - entry.used_in_pass;
    // Not seen in all of the last pass, and in this one not up to here: whether it is still to come in this
    // pass is known only if this pass is beyond it, or the last one did not see it either.
    if (passes_since > 2 || (passes_since == 2 && entry.place < place_)) return slot;
  }
  return std::nullopt;
}

void SentPages::put(Slot slot, std::uint64_t hash, ByteView content) {
  Entry& entry = entries_[slot];
  by_content_.erase(entry.hash, slot);
  entry.hash = hash;
  by_content_.insert(hash, slot);
  store_.put(slot, content);
}

}  // namespace vmigrate::reduce
