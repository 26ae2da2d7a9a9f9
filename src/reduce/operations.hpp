#pragma once

#include <cstddef>
#include <cstdint>

/// How a batch is written.
///
///     batch    = literals  operations  length of the operations (32 bits, big-endian)
///     literals = what the operations take, in their order: opaque bytes, pages, differences of pages
///
/// The operations begin with a number of bytes and so many bytes, a bit for each page among the literals,
/// lowest first: whether it is shuffled (see shuffle.hpp). Pages for which there is no bit are not.
///
/// Bytes and instructions are kept apart because each compresses better among its own kind. An operation is a
/// byte with its kind in the low three bits and flags above them, then the fields that the flags announce, in
/// the order of the flags. Numbers are LEB128; signed ones are zigzag-coded first.
///
///     opaque       count                       that many literal bytes, as they are
///     block table  count, (length byte, name)* the names of the memory blocks, needed for `named` pages
///     zero         a run of pages filled with one byte
///     literal      a run of pages; the content of each is 4096 literal bytes
///     kept         the same, and both ends keep each in a slot of their page store
///     same         a run of pages equal to slots
///     delta        a run of pages given as differences to slots, which then hold the new content
///
/// A run is of consecutive pages of one block and, where slots are involved, of consecutive slots. It begins
/// where the last one ended, in slots too, unless flags say otherwise; at a batch's beginning that is page 0
/// of block 0 and slot 0. `kept` counts slots by itself, `same` and `delta` together.
///
/// Both ends have a page store of the same size. Which content goes into which slot is said in every
/// operation, so only the writer has a policy, and the stores are in step as long as batches are read in the
/// order in which they were written.
namespace vmigrate::reduce {

enum class Operation : std::uint8_t {
  opaque = 1,
  block_table = 2,
  zero = 3,
  literal = 4,
  kept = 5,
  same = 6,
  delta = 7,
};

inline constexpr unsigned kKindBits = 3;

enum OperationFlag : std::uint8_t {
  kNamed = 1U << 3,    ///< the first page's record repeats the block's name; the others' do not
  kBlock = 1U << 4,    ///< field: the block; the pages then begin at 0
  kJump = 1U << 5,     ///< field, signed: how far the first page is from the expected one
  kRun = 1U << 6,      ///< field: how many pages, if not one
  kSpecial = 1U << 7,  ///< field: `zero`: the fill byte, if not 0; with slots, signed: like kJump
};

/// Where the next run begins if its flags say nothing.
struct ExpectedRun {
  std::size_t block = 0;
  std::uint64_t page = 0;
  std::uint64_t kept_slot = 0;
  std::uint64_t held_slot = 0;  ///< of `same` and `delta`

  std::uint64_t& slot(Operation kind) { return kind == Operation::kept ? kept_slot : held_slot; }
};

constexpr bool uses_slots(Operation kind) {
  return kind == Operation::kept || kind == Operation::same || kind == Operation::delta;
}

inline constexpr std::size_t kTrailerBytes = 4;
inline constexpr std::size_t kMostBlocks = 4096;

}  // namespace vmigrate::reduce
