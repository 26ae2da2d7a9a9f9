#include <benchmark/benchmark.h>
#include <xxhash.h>

#include "../stream/sample_stream.hpp"
#include "pages.hpp"
#include "reduce/compressor.hpp"
#include "reduce/decompressor.hpp"
#include "reduce/lz4.hpp"
#include "reduce/shuffle.hpp"
#include "stream/decoder.hpp"
#include "stream/statistics.hpp"

/// What one core does, in bytes of guest memory (or of the stream) a second.
namespace vmigrate::reduce {
namespace {

constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
constexpr std::uint64_t kBatchPages = kBatchBytes / kPageSize;
constexpr std::size_t kStorePages = 65'536;  // 256 MiB
constexpr int kWindowLog = 27;

/// Memory that compresses about threefold, as a Linux guest's does: every page has words of its own among
/// words that are everywhere.
ByteBuffer memory_like(std::size_t pages, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  ByteBuffer memory(pages * kPageSize);
  for (std::size_t at = 0; at < memory.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t choice = random();
    std::uint64_t word = 0;
    if (choice % 8 == 0) word = choice;
    if (choice % 8 >= 6) word = 0xffff'8880'0000'0000 | (choice >> 44 << 4);
    std::memcpy(memory.data() + at, &word, sizeof(word));
  }
  return memory;
}

ByteView page_of(const ByteBuffer& memory, std::uint64_t page) {
  return ByteView(memory).subspan(page * kPageSize % memory.size(), kPageSize);
}

void count_bytes(benchmark::State& state, std::uint64_t bytes_each_time) {
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes_each_time) * state.iterations());
}

void decode(benchmark::State& state) {
  stream::StreamWriter head;
  head.head().configuration("pc").section_start(2, "ram", stream::kRamVersion);
  head.number(kBatchBytes | stream::kRamMemorySize, 8).short_string("pc.ram").number(kBatchBytes, 8);
  head.end_of_section(2).section(stream::kSectionPart, 2).zero_page(0, "pc.ram");
  stream::StreamWriter pages;
  for (std::uint64_t page = 0; page < kBatchPages; ++page) {
    state.range(0) == 0 ? pages.page(page * kPageSize, "", 'x') : pages.zero_page(page * kPageSize);
  }
  stream::Decoder decoder;
  stream::StreamStatistics statistics;
  decoder.feed(head.out, statistics);
  constexpr std::size_t kRead = std::size_t{256} << 10;  // what the source reads from QEMU at once
  while (state.KeepRunning()) {
    for (ByteView rest = pages.out; !rest.empty();) {
      const std::size_t size = std::min(rest.size(), kRead);
      decoder.feed(rest.first(size), statistics);
      rest = rest.subspan(size);
    }
  }
  count_bytes(state, kBatchBytes);
}
BENCHMARK(decode)->ArgName("zero")->Arg(0)->Arg(1);

void hash(benchmark::State& state) {
  const auto memory = memory_like(kStorePages, 1);
  std::uint64_t page = 0;
  while (state.KeepRunning()) {
    benchmark::DoNotOptimize(::XXH3_64bits(page_of(memory, page).data(), kPageSize));
    ++page;
  }
  count_bytes(state, kPageSize);
}
BENCHMARK(hash);

/// Pages of structures, each looked at and shuffled.
void shuffle(benchmark::State& state) {
  const auto memory = memory_like(kStorePages / 16, 1);
  ByteBuffer shuffled;
  std::uint64_t page = 0;
  while (state.KeepRunning()) {
    benchmark::DoNotOptimize(is_worth_shuffling(page_of(memory, page)));
    shuffled.clear();
    append_shuffled(page_of(memory, page++), shuffled);
    benchmark::DoNotOptimize(shuffled.data());
  }
  count_bytes(state, kPageSize);
}
BENCHMARK(shuffle);

void unshuffle_pages(benchmark::State& state) {
  const auto memory = memory_like(kStorePages / 16, 1);
  ByteBuffer restored(kPageSize);
  std::uint64_t page = 0;
  while (state.KeepRunning()) {
    unshuffle(page_of(memory, page++), restored);
    benchmark::DoNotOptimize(restored.data());
  }
  count_bytes(state, kPageSize);
}
BENCHMARK(unshuffle_pages);

enum Content : std::int64_t { no_store, first_pass, no_room, duplicate, unchanged, sparse, rewritten, zero };
constexpr const char* kContentNames[] = {"no_store",  "first_pass", "no_room",   "duplicate",
                                         "unchanged", "sparse",     "rewritten", "zero"};

/// Memory larger than the caches, a batch each time.
void write(benchmark::State& state) {
  const auto content = static_cast<Content>(state.range(0));
  state.SetLabel(kContentNames[content]);
  auto memory = memory_like(kStorePages / 4, 1);
  const auto other = memory_like(kStorePages / 4, 2);
  constexpr std::uint64_t pages = kStorePages / 4;
  std::size_t store_pages = kStorePages / 2;
  if (content == no_store) store_pages = 0;
  if (content == no_room) store_pages = kStorePages / 64;
  BatchWriter writer(store_pages);
  const bool needs_memory =
      content == duplicate || content == unchanged || content == sparse || content == rewritten;
  for (std::uint64_t page = 0; needs_memory && page < pages; ++page) {
    writer.page(place_of(page), page_of(memory, page));
    if (writer.original_bytes() > kBatchBytes) writer.take();
  }
  std::uint64_t page = 0;
  std::uint64_t reduced = 0;
  std::uint64_t passes = 0;
  while (state.KeepRunning()) {
    for (std::uint64_t i = 0; i < kBatchPages; ++i, ++page) {
      const ByteView now = page_of(memory, page);
      switch (content) {
        case zero: writer.zero_page(place_of(page), std::byte{}); break;
        case duplicate: writer.page(place_of(pages + page), now); break;
        case sparse:
          memory[page % pages * kPageSize + page / pages * 72 % 4000] ^= std::byte{1};
          writer.page(place_of(page % pages), now);
          break;
        case unchanged: writer.page(place_of(page % pages), now); break;
        case rewritten:
          passes = page / pages;
          writer.page(place_of(page % pages), page_of(passes % 2 == 0 ? other : memory, page));
          break;
        default: writer.page(place_of(page), now); break;
      }
    }
    reduced += writer.take().bytes.size();
    // A new store for a first pass: without, pages would soon find no room, or their twins.
    if (content == first_pass && page >= pages) {
      state.PauseTiming();
      writer = BatchWriter(kStorePages / 2);
      page = 0;
      state.ResumeTiming();
    }
  }
  state.counters["bytes_a_page"] = static_cast<double>(reduced) / static_cast<double>(kBatchPages) /
                                   static_cast<double>(state.iterations());
  count_bytes(state, kBatchBytes);
}
BENCHMARK(write)->DenseRange(no_store, zero)->Unit(benchmark::kMicrosecond);

/// Batches of memory, as the compressor gets them.
std::vector<Batch> batches_of(const ByteBuffer& memory, BatchWriter& writer) {
  std::vector<Batch> batches;
  for (std::uint64_t page = 0; page < memory.size() / kPageSize; ++page) {
    writer.page(place_of(page), page_of(memory, page));
    if (writer.original_bytes() >= kBatchBytes) batches.push_back(writer.take());
  }
  return batches;
}

/// By as many workers as the first argument says, all memory as one stream; the last one: all over the
/// window.
void pack(benchmark::State& state) {
  BatchWriter writer(0);
  const auto batches = batches_of(memory_like(kStorePages, 1), writer);
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  for (auto _ : state) {
    Compressor compressor(state.range(1) == 0 ? Reach::near : Reach::far, kWindowLog,
                          static_cast<int>(state.range(0)));
    ByteBuffer packed;
    for (const auto& batch : batches) {
      if (!compressor.pack(batch.bytes, packed)) state.SkipWithError("broken");
      in += batch.original_bytes;
      out += std::exchange(packed, {}).size();
    }
    if (!compressor.flush(packed)) state.SkipWithError("broken");
    out += packed.size();
  }
  state.counters["ratio"] = static_cast<double>(in) / static_cast<double>(out);
  state.SetBytesProcessed(static_cast<std::int64_t>(in));
}
BENCHMARK(pack)
    ->ArgNames({"workers", "far"})
    ->ArgsProduct({{1, 2}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void pack_batches_lz4(benchmark::State& state) {
  BatchWriter writer(0);
  const auto batches = batches_of(memory_like(kStorePages, 1), writer);
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  for (auto _ : state) {
    for (const auto& batch : batches) {
      out += pack_lz4(batch.bytes).size();
      in += batch.original_bytes;
    }
  }
  state.counters["ratio"] = static_cast<double>(in) / static_cast<double>(out);
  state.SetBytesProcessed(static_cast<std::int64_t>(in));
}
BENCHMARK(pack_batches_lz4)->Unit(benchmark::kMillisecond);

void unpack(benchmark::State& state) {
  BatchWriter writer(0);
  ByteBuffer packed;
  std::uint64_t size = 0;
  Compressor compressor(Reach::far, kWindowLog, 1);
  for (const auto& batch : batches_of(memory_like(kStorePages / 4, 1), writer)) {
    if (!compressor.pack(batch.bytes, packed)) state.SkipWithError("broken");
    size += batch.original_bytes;
  }
  if (!compressor.flush(packed)) state.SkipWithError("broken");
  std::uint64_t bytes = 0;
  for (auto _ : state) {
    Decompressor decompressor(kWindowLog);
    const auto ignore = [](ByteView part) {
      benchmark::DoNotOptimize(part.data());
      return Result<>();
    };
    if (!decompressor.unpack(packed, ignore)) state.SkipWithError("broken");
    bytes += size;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(unpack)->Unit(benchmark::kMillisecond);

/// Pages kept in the store, then sparse differences to them, then zero pages.
void restore(benchmark::State& state) {
  const auto content = static_cast<Content>(state.range(0));
  state.SetLabel(kContentNames[content]);
  auto memory = memory_like(kStorePages / 4, 1);
  BatchWriter writer(kStorePages / 2);
  const auto kept = batches_of(memory, writer);
  for (std::size_t at = 0; at < memory.size(); at += kPageSize) memory[at] ^= std::byte{1};
  auto batches = content == first_pass ? kept : batches_of(memory, writer);
  if (content == zero) {
    for (auto& batch : batches) {
      for (std::uint64_t page = 0; page < kBatchPages; ++page) writer.zero_page(place_of(page), std::byte{});
      batch = writer.take();
    }
  }
  BatchReader reader(kStorePages / 2);
  for (const auto& batch : kept) {
    if (!reader.restore(batch.bytes, batch.original_bytes)) state.SkipWithError("broken");
  }
  std::size_t next = 0;
  std::uint64_t bytes = 0;
  while (state.KeepRunning()) {
    const Batch& batch = batches[next++ % batches.size()];
    const auto restored = reader.restore(batch.bytes, batch.original_bytes);
    if (!restored) state.SkipWithError("broken");
    bytes += batch.counters.pages * kPageSize;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(restore)->Arg(first_pass)->Arg(sparse)->Arg(zero)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vmigrate::reduce
