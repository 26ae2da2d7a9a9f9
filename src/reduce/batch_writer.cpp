#include "reduce/batch_writer.hpp"

#include <utility>

#include <xxhash.h>

#include "reduce/page_delta.hpp"
#include "reduce/shuffle.hpp"
#include "reduce/varint.hpp"

namespace vmigrate::reduce {
namespace {

std::uint64_t hash_of(ByteView content) {
  return ::XXH3_64bits(content.data(), content.size());
}

}  // namespace

BatchWriter::BatchWriter(std::size_t store_pages) : sent_(store_pages) {
}

Batch BatchWriter::take() {
  end_run();
  const std::size_t literals = literals_.size();
  put_number(literals_, shuffled_.size());
  literals_.insert(literals_.end(), shuffled_.begin(), shuffled_.end());
  literals_.insert(literals_.end(), operations_.begin(), operations_.end());
  const std::size_t operations = literals_.size() - literals;
  for (int shift = 24; shift >= 0; shift -= 8)
    literals_.push_back(static_cast<std::byte>(operations >> shift & 0xff));
  const std::size_t size = literals_.size();
  shuffled_.clear();
  literal_pages_ = 0;
  operations_.clear();
  expected_ = {};
  Batch batch{std::exchange(literals_, {}), std::exchange(original_bytes_, 0), std::exchange(counters_, {})};
  literals_.reserve(size);  // the next one will be much like it
  return batch;
}

void BatchWriter::opaque(ByteView bytes) {
  if (bytes.empty()) return;
  original_bytes_ += bytes.size();
  if (!run_ || run_->kind != Operation::opaque) {
    end_run();
    run_ = Run{};
  }
  run_->count += bytes.size();
  append_literal(bytes);
}

void BatchWriter::block_table(const std::vector<stream::RamBlock>& blocks) {
  end_run();
  name_sizes_.clear();
  operations_.push_back(static_cast<std::byte>(Operation::block_table));
  put_number(operations_, blocks.size());
  for (const auto& block : blocks) {
    name_sizes_.push_back(block.name.size());
    operations_.push_back(static_cast<std::byte>(block.name.size()));
    const ByteView name = as_byte_view(block.name);
    operations_.insert(operations_.end(), name.begin(), name.end());
  }
}

void BatchWriter::zero_page(const stream::PagePlace& place, std::byte fill) {
  arrive(place, 1);
  ++counters_.zero;
  add(Operation::zero, place, 0, fill);
}

void BatchWriter::page(const stream::PagePlace& place, ByteView content) {
  arrive(place, kPageSize);
  if (sent_.slots() == 0) return literal(place, content);
  reduce_page(place, content);
}

void BatchWriter::arrive(const stream::PagePlace& place, std::size_t body_bytes) {
  original_bytes_ += 8 + body_bytes + (place.named ? 1 + name_sizes_.at(place.block) : 0);
  ++counters_.pages;
  sent_.arrive(place);
}

void BatchWriter::reduce_page(const stream::PagePlace& place, ByteView content) {
  const auto own = sent_.of_this_place();
  if (own && reduce_by_place(place, content, *own)) return;
  const std::uint64_t hash = hash_of(content);
  if (const auto twin = sent_.with_content(hash, content)) {
    sent_.was_of_use(*twin);
    ++counters_.seen;
    return add(Operation::same, place, *twin);
  }
  const auto slot = own ? own : sent_.claim();
  if (!slot) return literal(place, content);
  keep(place, content, *slot, hash);
}

bool BatchWriter::reduce_by_place(const stream::PagePlace& place, ByteView content, Slot slot) {
  switch (append_delta(sent_.content(slot), content, literals_)) {
    case Difference::none:
      ++counters_.seen;
      add(Operation::same, place, slot);
      break;
    case Difference::found:
      ++counters_.delta;
      add(Operation::delta, place, slot);
      sent_.put(slot, hash_of(content), content);
      break;
    case Difference::too_long: return false;
  }
  sent_.was_of_use(slot);
  return true;
}

void BatchWriter::keep(const stream::PagePlace& place, ByteView content, Slot slot, std::uint64_t hash) {
  ++counters_.literal;
  add(Operation::kept, place, slot);
  append_literal_page(content);
  sent_.put(slot, hash, content);
}

void BatchWriter::literal(const stream::PagePlace& place, ByteView content) {
  ++counters_.literal;
  add(Operation::literal, place);
  append_literal_page(content);
}

void BatchWriter::append_literal(ByteView bytes) {
  literals_.insert(literals_.end(), bytes.begin(), bytes.end());
}

void BatchWriter::append_literal_page(ByteView content) {
  const std::size_t page = literal_pages_++;
  if (!is_worth_shuffling(content)) return append_literal(content);
  shuffled_.resize(page / 8 + 1);
  shuffled_.back() |= static_cast<std::byte>(1U << page % 8);
  append_shuffled(content, literals_);
}

void BatchWriter::add(Operation kind, const stream::PagePlace& place, std::uint64_t slot, std::byte fill) {
  const std::uint64_t page = place.offset / kPageSize;
  const bool grows = run_ && run_->kind == kind && !place.named && place.block == run_->block &&
                     page == run_->page + run_->count && fill == run_->fill &&
                     (!uses_slots(kind) || slot == run_->slot + run_->count);
  if (grows) {
    ++run_->count;
    return;
  }
  end_run();
  run_ = Run{kind, place.named, place.block, page, 1, slot, fill};
}

void BatchWriter::end_run() {
  if (!run_) return;
  if (run_->kind == Operation::opaque) {
    operations_.push_back(static_cast<std::byte>(Operation::opaque));
    put_number(operations_, run_->count);
  } else {
    write_pages(*run_);
  }
  run_.reset();
}

void BatchWriter::write_pages(const Run& run) {
  const std::size_t head = operations_.size();
  auto flags = static_cast<unsigned>(run.kind);
  operations_.emplace_back();
  if (run.named) flags |= kNamed;
  if (run.block != expected_.block) {
    flags |= kBlock;
    put_number(operations_, run.block);
    expected_.page = 0;
  }
  if (run.page != expected_.page) {
    flags |= kJump;
    put_difference(operations_, run.page, expected_.page);
  }
  if (run.count != 1) {
    flags |= kRun;
    put_number(operations_, run.count);
  }
  if (uses_slots(run.kind)) {
    std::uint64_t& expected_slot = expected_.slot(run.kind);
    if (run.slot != expected_slot) {
      flags |= kSpecial;
      put_difference(operations_, run.slot, expected_slot);
    }
    expected_slot = run.slot + run.count;
  } else if (run.fill != std::byte{}) {
    flags |= kSpecial;
    operations_.push_back(run.fill);
  }
  operations_[head] = static_cast<std::byte>(flags);
  expected_.block = run.block;
  expected_.page = run.page + run.count;
}

}  // namespace vmigrate::reduce
