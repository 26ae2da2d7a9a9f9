#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/error.hpp"
#include "kvm/dirty_tracker.hpp"
#include "kvm/slot.hpp"
#include "kvm/stream_output.hpp"

namespace vmigrate::kvm {

/// Copies pending pages from guest memory into the stream.
///
/// A page may be torn: the guest writes while it is read. That is harmless, since such a page is dirty again.
class PageCopier {
 public:
  /// `sent`: the slots in the order of the stream's block table.
  PageCopier(std::vector<Slot*> sent, Slots& slots, StreamOutput& output)
      : sent_(std::move(sent)), slots_(slots), output_(output) {}

  /// All that is pending, the guest running: `tracker` watches each piece again before it is read.
  /// `piece_copied` is called after each of a few MiB.
  Result<> copy_live(DirtyTracker& tracker, const std::function<void()>& piece_copied);
  /// All that is pending, as the last part of memory.
  Result<> copy_stopped();

  std::uint64_t pending() const;
  std::uint64_t pages() const { return pages_; }
  std::uint64_t zero_pages() const { return zero_pages_; }

 private:
  Result<> copy_words(std::size_t block, std::size_t first, std::size_t count);
  void copy_word(std::size_t block, std::size_t index);

  std::vector<Slot*> sent_;
  Slots& slots_;
  StreamOutput& output_;
  std::uint64_t pages_ = 0;
  std::uint64_t zero_pages_ = 0;
};

/// `page`: kPageSize bytes.
bool is_zero_page(const std::byte* page);

}  // namespace vmigrate::kvm
