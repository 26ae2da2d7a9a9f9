#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

namespace vmigrate::reduce {

using Slot = std::uint32_t;

/// Finds slots by a key that the caller keeps and compares.
///
/// Keys come from a guest, which may choose them to collide. So there are no chains: a key belongs to one
/// bucket of a cache line, and where that is full, one more is left out. (If it displaced another instead,
/// those that never change would be lost one by one.) A slot that is not found costs bytes on the wire,
/// nothing else.
class SlotIndex {
 public:
  explicit SlotIndex(std::size_t slots) : buckets_(std::bit_ceil(slots / 4 + 1)) {
    shift_ = static_cast<unsigned>(64 - std::countr_zero(buckets_.size()));
  }

  /// The first slot under `key` of which `is_it(slot)`.
  template <class Predicate>
  std::optional<Slot> find(std::uint64_t key, Predicate is_it) const {
    const std::uint64_t mixed = mix(key);
    for (const Entry& entry : buckets_[bucket_of(mixed)]) {
      if (entry.used == 0 || entry.tag != tag_of(mixed)) continue;
      if (is_it(entry.used - 1)) return entry.used - 1;
    }
    return std::nullopt;
  }

  void insert(std::uint64_t key, Slot slot) {
    const std::uint64_t mixed = mix(key);
    Bucket& bucket = buckets_[bucket_of(mixed)];
    auto* entry = std::ranges::find(bucket, 0U, &Entry::used);
    if (entry != bucket.end()) *entry = {tag_of(mixed), slot + 1};
  }

  void erase(std::uint64_t key, Slot slot) {
    Bucket& bucket = buckets_[bucket_of(mix(key))];
    auto* entry = std::ranges::find(bucket, slot + 1, &Entry::used);
    if (entry != bucket.end()) *entry = {};
  }

 private:
  struct Entry {
    std::uint32_t tag = 0;   // spares most looks at the caller's keys
    std::uint32_t used = 0;  // the slot, plus one
  };
  struct alignas(64) Bucket : std::array<Entry, 8> {};

  static std::uint64_t mix(std::uint64_t key) { return key * 0x9e3779b97f4a7c15; }
  static std::uint32_t tag_of(std::uint64_t mixed) { return static_cast<std::uint32_t>(mixed); }
  std::size_t bucket_of(std::uint64_t mixed) const { return shift_ == 64 ? 0 : mixed >> shift_; }

  std::vector<Bucket> buckets_;
  unsigned shift_ = 64;
};

}  // namespace vmigrate::reduce
