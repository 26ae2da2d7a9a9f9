#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/file_descriptor.hpp"
#include "kvm/page_copier.hpp"

/// How fast guest memory gets into a socket, against the least that has to be done: a copy of it, sent. Both
/// in turns, since what a machine does changes from one minute to the next.
namespace vmigrate::kvm {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kMemory = std::size_t{128} << 20;
constexpr std::size_t kPiece = std::size_t{256} << 10;  // as StreamOutput's

/// A connection whose other end reads all and keeps nothing.
class Drain {
 public:
  Drain() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
    source_ = FileDescriptor(ends[0]);
    destination_ = FileDescriptor(ends[1]);
    thread_ = std::jthread([this] {
      std::vector<std::byte> buffer(kPiece);
      while (::recv(destination_.get(), buffer.data(), buffer.size(), 0) > 0) {
      }
    });
  }
  ~Drain() { ::shutdown(source_.get(), SHUT_RDWR); }
  int socket() const { return source_.get(); }

 private:
  FileDescriptor source_;
  FileDescriptor destination_;
  std::jthread thread_;
};

/// Memory of a guest, every page of it with content: as a slot of a VM has it.
class GuestMemory {
 public:
  GuestMemory() {
    void* start = ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) std::abort();
    start_ = static_cast<std::byte*>(start);
    for (std::size_t at = 0; at < kMemory; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = at * 0x9e3779b97f4a7c15;
      std::memcpy(start_ + at, &word, sizeof word);
    }
  }
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory() { ::munmap(start_, kMemory); }
  std::byte* start() const { return start_; }

 private:
  std::byte* start_;
};

void copy_and_send(const GuestMemory& memory, int socket, std::vector<std::byte>& buffer) {
  for (std::size_t at = 0; at < kMemory; at += kPiece) {
    std::memcpy(buffer.data(), memory.start() + at, kPiece);
    for (std::size_t sent = 0; sent < kPiece;) {
      const auto count = ::send(socket, buffer.data() + sent, kPiece - sent, MSG_NOSIGNAL);
      if (count <= 0) std::abort();
      sent += static_cast<std::size_t>(count);
    }
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void copy_to_the_socket(benchmark::State& state) {
  const GuestMemory memory;
  const Drain drain;
  Slots slots;
  slots.all.push_back(std::make_unique<Slot>(MemorySlot{0, "memory", 0, kMemory, memory.start(), false}));
  auto& slot = *slots.all.front();
  const auto cancellation = Cancellation::create();
  Connection connection(drain.socket(), *cancellation);
  StreamOutput output(connection, Rate{});
  output.composer().ram_begin({{"memory", kMemory}});
  PageCopier copier({&slot}, slots, output);
  std::vector<std::byte> buffer(kPiece);
  std::vector<double> plain;
  std::vector<double> engine;
  while (state.KeepRunning()) {
    slot.pending.set_all();
    const auto begin = SteadyClock::now();
    copy_and_send(memory, drain.socket(), buffer);
    const auto between = SteadyClock::now();
    if (!copier.copy_stopped()) std::abort();
    const auto end = SteadyClock::now();
    plain.push_back(Seconds(between - begin).count());
    engine.push_back(Seconds(end - between).count());
    state.SetIterationTime(engine.back());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(kMemory) * state.iterations());
  state.counters["plain"] = benchmark::Counter(static_cast<double>(kMemory) / median(plain),
                                               benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
  state.counters["of_plain"] = median(plain) / median(engine);
}
BENCHMARK(copy_to_the_socket)->UseManualTime()->Unit(benchmark::kMillisecond);

/// Pages that are zeros all through, which is the most that the scan has to look at.
void scan_for_zeros(benchmark::State& state) {
  const std::vector<std::byte> memory(kMemory / 8);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(is_zero_page(memory.data() + at));
    at = (at + kPageSize) % memory.size();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(kPageSize) * state.iterations());
}
BENCHMARK(scan_for_zeros);

}  // namespace
}  // namespace vmigrate::kvm
