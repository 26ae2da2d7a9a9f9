#include "kvm/dirty_ring.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <linux/kvm.h>
#include <sys/mman.h>

#include "fixture.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;
using Pages = std::vector<RingEntries::Page>;

/// KVM's part of a ring of eight entries.
class Ring : public testing::Test {
 protected:
  /// As a vCPU that writes to such a page of slot 1.
  void write(std::uint64_t page) { memory_[written_++ % memory_.size()] = {KVM_DIRTY_GFN_F_DIRTY, 1, page}; }
  /// KVM_RESET_DIRTY_RINGS: how many were taken.
  int reset() {
    int count = 0;
    for (auto& entry : memory_) {
      if (entry.flags != KVM_DIRTY_GFN_F_RESET) continue;
      entry.flags = 0;
      ++count;
    }
    return count;
  }
  static Pages pages(std::uint64_t first, std::uint64_t end) {
    Pages pages;
    for (auto page = first; page < end; ++page) pages.push_back({1, page});
    return pages;
  }

  std::array<kvm_dirty_gfn, 8> memory_{};
  RingEntries entries_{memory_};
  Pages found_;

 private:
  std::size_t written_ = 0;
};

TEST_F(Ring, OfNothingThereIsNothing) {
  EXPECT_TRUE(entries_.take(found_));
  EXPECT_TRUE(found_.empty());
  EXPECT_EQ(reset(), 0);
}

TEST_F(Ring, EveryPageIsTakenOnceRoundAndRound) {
  std::uint64_t page = 100;
  for (int harvest = 0; harvest < 20; ++harvest) {
    const auto first = page;
    for (int i = 0; i < harvest % 8; ++i) write(page++);
    found_.clear();
    EXPECT_TRUE(entries_.take(found_));
    EXPECT_EQ(found_, pages(first, page)) << harvest;
    found_.clear();
    EXPECT_TRUE(entries_.take(found_));
    EXPECT_TRUE(found_.empty()) << "taken twice before the reset";
    EXPECT_EQ(reset(), harvest % 8);
  }
}

// Nobody can tell it from one that KVM has written over.
TEST_F(Ring, AFullOneHasRunOver) {
  for (std::uint64_t page = 0; page < 5; ++page) write(page);
  EXPECT_TRUE(entries_.take(found_));
  reset();
  for (std::uint64_t page = 5; page < 12; ++page) write(page);
  EXPECT_TRUE(entries_.take(found_)) << "one entry was free";
  EXPECT_EQ(found_, pages(0, 12));
  reset();
  for (std::uint64_t page = 12; page < 20; ++page) write(page);
  EXPECT_FALSE(entries_.take(found_));
}

/// VMs with rings of one page, the smallest that KVM has.
class SmallRing : public KvmTest {
 protected:
  static constexpr std::size_t kEntries = kPageSize / sizeof(kvm_dirty_gfn);
  static constexpr std::uint32_t kLosesTime = 0x80000000;

  static microvm::Configuration with_small_ring() {
    auto configuration = usual();
    configuration.dirty_log = DirtyLog::ring;
    configuration.dirty_ring_size = kPageSize;
    return configuration;
  }
  /// A guest that never writes much without leaving KVM_RUN: where KVM emulates every instruction it stops a
  /// vCPU only there, and each write takes an entry.
  static std::unique_ptr<VirtualMachine> start_calm() {
    return start(with_small_ring(), "memory_checker", 2048, kLosesTime | 1000, "filled");
  }
  static void await_writes(VirtualMachine& vm, std::size_t pages) {
    const auto memory = vm.memory(1);
    const ByteBuffer before(memory.begin(), memory.end());
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    const auto changed = [&] {
      std::size_t count = 0;
      for (std::size_t at = 0; at < before.size(); at += kPageSize) {
        if (std::memcmp(memory.data() + at, before.data() + at, kPageSize) != 0) ++count;
      }
      return count;
    };
    while (changed() < pages) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the guest stands still: " << vm.failure();
      std::this_thread::yield();
    }
  }
};

TEST_F(SmallRing, IsEmptiedWheneverItIsFull) {
  const auto source = start_calm();
  bool first = true;
  source->watch([&](const Progress&) {
    if (std::exchange(first, false)) await_writes(*source, kEntries + 1);
  });
  const auto destination = make(with_small_ring());
  const auto moved = move(*source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  // More than it holds at once.
  EXPECT_GT(moved.sent->rounds.at(1).pages + moved.sent->rounds.at(1).zero_pages, kEntries);
  EXPECT_TRUE(have_same_memory(*source, *destination));
  destination->run();
  expect_good_memory(*destination);
}

// As KVM leaves it when it has gone round: no entry is free, and who knows which were written twice.
TEST_F(SmallRing, ThatHasRunOverNothingIsSentAnyMore) {
  const auto source = start_calm();
  source->stop();
  const int vcpu = source->description().vcpus.front();
  void* memory = ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu,
                        static_cast<off_t>(KVM_DIRTY_LOG_PAGE_OFFSET * kPageSize));
  ASSERT_NE(memory, MAP_FAILED);
  bool first = true;
  source->watch([&](const Progress& progress) {
    EXPECT_FALSE(progress.stopped);
    if (!std::exchange(first, false)) return;
    for (auto& entry : std::span(static_cast<kvm_dirty_gfn*>(memory), kEntries))
      entry = {KVM_DIRTY_GFN_F_DIRTY, 1, 7};
  });
  // What was lost stays lost.
  for (int i = 0; i < 2; ++i) {
    const auto moved = move(*source, *make(with_small_ring()));
    ASSERT_FALSE(moved.sent);
    EXPECT_EQ(moved.sent.error().code, ErrorCode::failed);
    EXPECT_NE(moved.sent.error().message.find("a vCPU's dirty ring has run over"), std::string::npos)
        << moved.sent.error().message;
    EXPECT_FALSE(moved.received);
  }
  ::munmap(memory, kPageSize);
}

}  // namespace
}  // namespace vmigrate::kvm
