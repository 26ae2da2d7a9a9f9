#include "reduce/batch_reader.hpp"

#include <string>
#include <utility>

#include "reduce/batch.hpp"
#include "reduce/page_delta.hpp"
#include "reduce/shuffle.hpp"

namespace vmigrate::reduce {
namespace {

constexpr std::size_t kHeadBytes = 8;
constexpr std::uint64_t kMostPages = std::uint64_t{1} << 52;  // in 64 bits of offset

tl::unexpected<Error> broken_batch(std::string why) {
  return fail(ErrorCode::failed, "a batch of memory is broken: " + std::move(why));
}

tl::unexpected<Error> cut_off() {
  return broken_batch("an operation is cut off");
}

}  // namespace

BatchReader::BatchReader(std::size_t store_pages) : store_(store_pages), filled_(store_pages) {
}

bool BatchReader::Rest::next_is_shuffled() {
  const std::size_t page = literal_pages++;
  if (page / 8 >= shuffled.size()) return false;
  return (shuffled[page / 8] & static_cast<std::byte>(1U << page % 8)) != std::byte{};
}

Result<ByteBuffer> BatchReader::restore(ByteView batch, std::size_t original_bytes) {
  if (broken_) return broken_batch("one before it was");
  auto read = read_all(batch, original_bytes);
  ByteBuffer output = encoder_.take_output();
  if (!read) {
    broken_ = true;
    return fail(std::move(read.error()));
  }
  return output;
}

Result<> BatchReader::read_all(ByteView batch, std::size_t original_bytes) {
  if (original_bytes > kMostOriginalBytes) return broken_batch("it stands for too much");
  if (batch.size() < kTrailerBytes) return broken_batch("it has no end");
  std::size_t operations_size = 0;
  for (const std::byte byte : batch.last(kTrailerBytes)) {
    operations_size = operations_size << 8 | std::to_integer<std::size_t>(byte);
  }
  const ByteView content = batch.first(batch.size() - kTrailerBytes);
  if (operations_size > content.size()) return broken_batch("its operations are longer than it is");

  Rest rest{FieldReader(content.first(content.size() - operations_size)),
            FieldReader(content.last(operations_size)),
            original_bytes,
            {}};
  const auto shuffled = rest.operations.number();
  const auto bits = shuffled ? rest.operations.bytes(*shuffled) : std::nullopt;
  if (!bits) return cut_off();
  rest.shuffled = *bits;
  expected_ = {};
  encoder_.reserve(original_bytes);
  while (!rest.operations.empty()) {
    if (auto done = read_operation(rest); !done) return done;
  }
  if (!rest.literals.empty()) return broken_batch("bytes are left that no operation takes");
  if (rest.original_bytes != 0) return broken_batch("it stands for less than was said");
  return {};
}

Result<> BatchReader::read_operation(Rest& rest) {
  const unsigned head = *rest.operations.byte();
  const unsigned kind = head % (1U << kKindBits);
  const unsigned flags = head - kind;
  switch (static_cast<Operation>(kind)) {
    case Operation::opaque:
    case Operation::block_table:
      if (flags != 0) return broken_batch("an operation has flags that it cannot have");
      return kind == static_cast<unsigned>(Operation::opaque) ? read_opaque(rest) : read_block_table(rest);
    case Operation::zero:
    case Operation::literal:
    case Operation::kept:
    case Operation::same:
    case Operation::delta: return read_pages(rest, static_cast<Operation>(kind), flags);
  }
  return broken_batch("an operation is unknown");
}

Result<> BatchReader::read_opaque(Rest& rest) {
  const auto count = rest.operations.number();
  if (!count) return cut_off();
  if (*count > rest.original_bytes) return broken_batch("it stands for more than was said");
  const auto bytes = rest.literals.bytes(*count);
  if (!bytes) return broken_batch("bytes are missing");
  rest.original_bytes -= bytes->size();
  encoder_.opaque(*bytes);
  return {};
}

Result<> BatchReader::read_block_table(Rest& rest) {
  const auto count = rest.operations.number();
  if (!count) return cut_off();
  if (*count > kMostBlocks) return broken_batch("it names too many memory blocks");
  std::vector<stream::RamBlock> blocks;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto size = rest.operations.byte();
    const auto name = size ? rest.operations.bytes(*size) : std::nullopt;
    if (!name) return cut_off();
    blocks.push_back({std::string(as_text(*name)), 0});
  }
  blocks_ = std::move(blocks);
  encoder_.block_table(blocks_);
  return {};
}

Result<> BatchReader::read_pages(Rest& rest, Operation kind, unsigned flags) {
  const auto run = read_run(rest.operations, kind, flags);
  if (!run) return fail(run.error());
  if (auto room = check_room(*run, rest); !room) return room;
  for (std::uint64_t i = 0; i < run->count; ++i) {
    const stream::PagePlace place{expected_.block, (expected_.page + i) * kPageSize, run->named && i == 0};
    if (auto written = write_page(*run, run->slot + i, place, rest); !written) return written;
  }
  expected_.page += run->count;
  return {};
}

/// The fields of a run of pages. Afterwards `expected_` is where its pages begin, and its slots end.
Result<BatchReader::Run> BatchReader::read_run(FieldReader& fields, Operation kind, unsigned flags) {
  Run run{kind, (flags & kNamed) != 0};
  if ((flags & kBlock) != 0) {
    const auto block = fields.number();
    if (!block) return cut_off();
    if (*block >= kMostBlocks) return broken_batch("a memory block has a number that none has");
    expected_.block = *block;
    expected_.page = 0;
  }
  if (run.named && expected_.block >= blocks_.size()) return broken_batch("a memory block has no name");
  if ((flags & kJump) != 0) {
    const auto page = fields.moved(expected_.page);
    if (!page) return cut_off();
    expected_.page = *page;
  }
  if ((flags & kRun) != 0) {
    const auto count = fields.number();
    if (!count) return cut_off();
    run.count = *count;
  }
  if (run.count > kMostPages || expected_.page > kMostPages - run.count) {
    return broken_batch("a page lies where none can");
  }
  if (uses_slots(kind)) {
    if (auto slot = read_slot(fields, (flags & kSpecial) != 0, run); !slot) return fail(slot.error());
  } else if ((flags & kSpecial) != 0) {
    if (kind != Operation::zero) return broken_batch("an operation has flags that it cannot have");
    const auto fill = fields.byte();
    if (!fill) return cut_off();
    run.fill = static_cast<std::byte>(*fill);
  }
  return run;
}

Result<> BatchReader::read_slot(FieldReader& fields, bool jumps, Run& run) {
  std::uint64_t& expected = expected_.slot(run.kind);
  const auto slot = jumps ? fields.moved(expected) : expected;
  if (!slot) return cut_off();
  if (run.count > store_.slots() || *slot > store_.slots() - run.count) {
    return broken_batch("a slot lies outside the page store");
  }
  run.slot = *slot;
  expected = *slot + run.count;
  return {};
}

/// Takes what the run stands for off what the batch may still stand for.
Result<> BatchReader::check_room(const Run& run, Rest& rest) const {
  constexpr auto kTooMuch = "it stands for more than was said";
  const std::size_t page_bytes = kHeadBytes + (run.kind == Operation::zero ? 1 : kPageSize);
  if (run.count > rest.original_bytes / page_bytes) return broken_batch(kTooMuch);
  const std::size_t name_bytes = run.named ? 1 + blocks_[expected_.block].name.size() : 0;
  const std::size_t bytes = run.count * page_bytes + name_bytes;
  if (bytes > rest.original_bytes) return broken_batch(kTooMuch);
  rest.original_bytes -= bytes;
  return {};
}

Result<> BatchReader::write_page(const Run& run, std::uint64_t slot, const stream::PagePlace& place,
                                 Rest& rest) {
  if (run.kind == Operation::zero) {
    encoder_.zero_page(place, run.fill);
    return {};
  }
  if (run.kind == Operation::literal || run.kind == Operation::kept) {
    return write_literal(run, slot, place, rest);
  }
  if (!filled_[slot]) return broken_batch("it names a slot that holds nothing");
  if (run.kind == Operation::delta) {
    if (auto applied = apply_delta(rest.literals, store_.content(slot)); !applied) {
      return broken_batch(applied.error().message);
    }
  }
  encoder_.page(place, std::as_const(store_).content(slot));
  return {};
}

Result<> BatchReader::write_literal(const Run& run, std::uint64_t slot, const stream::PagePlace& place,
                                    Rest& rest) {
  const auto bytes = rest.literals.bytes(kPageSize);
  if (!bytes) return broken_batch("bytes are missing");
  const bool shuffled = rest.next_is_shuffled();
  if (shuffled) unshuffle(*bytes, page_);
  const ByteView content = shuffled ? ByteView(page_) : *bytes;
  encoder_.page(place, content);
  if (run.kind == Operation::kept) {
    store_.put(slot, content);
    filled_[slot] = true;
  }
  return {};
}

}  // namespace vmigrate::reduce
