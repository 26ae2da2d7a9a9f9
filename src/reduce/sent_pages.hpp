#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reduce/page_store.hpp"
#include "reduce/slot_index.hpp"
#include "stream/records.hpp"

namespace vmigrate::reduce {

/// The writer's page store: what the destination holds, found by place and by content, and the choice of what
/// it should hold.
///
/// QEMU passes over memory in one direction, again and again, over what has become dirty meanwhile. While
/// there are free slots every page gets one. After that, in the second pass and later ones, only a page that
/// is sent again and has no slot may have another's; and only that of one which has not become dirty since,
/// as far as that is known. Nothing that was of use in this pass or the last one is given up. So a writer
/// that works its way through more memory than the store holds does not wash everything out before it is
/// used (as replacing the least recently used would); it gets the use of a store full of its pages.
class SentPages {
 public:
  explicit SentPages(std::size_t slots);

  std::size_t slots() const { return store_.slots(); }

  /// To be told of every page in the order of the stream, before anything is asked about it.
  void arrive(const stream::PagePlace& place);

  /// The slot of the page that arrived last.
  std::optional<Slot> of_this_place() const;
  /// A slot with exactly this content; equal hashes are not believed.
  std::optional<Slot> with_content(std::uint64_t hash, ByteView content) const;
  ByteView content(Slot slot) const { return store_.content(slot); }

  /// The slot spared the wire a page.
  void was_of_use(Slot slot) { entries_[slot].used_in_pass = pass_; }
  /// A slot for the page that arrived last, if it should have one; to be filled with `put`.
  std::optional<Slot> claim();
  void put(Slot slot, std::uint64_t hash, ByteView content);

 private:
  struct Entry {
    std::uint64_t place = 0;
    std::uint64_t hash = 0;
    std::uint32_t used_in_pass = 0;
  };

  std::optional<Slot> give_up_one();

  PageStore store_;
  std::vector<Entry> entries_;  // of the slots in use: they are taken in order
  SlotIndex by_place_;
  SlotIndex by_content_;
  std::size_t hand_ = 0;  // where the search for a slot to give up goes on
  std::uint32_t pass_ = 0;
  std::uint64_t place_ = 0;  // of the page that arrived last: block and page in one ordered number
};

}  // namespace vmigrate::reduce
