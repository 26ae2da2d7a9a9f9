#include <algorithm>
#include <cstdio>
#include <fstream>
#include <span>
#include <string>
#include <utility>

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "fixture.hpp"
#include "kvm/dirty_tracker.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

TEST(DirtyLogChoice, TakesTheBestThatThereIs) {
  EXPECT_EQ(choose_dirty_log(DirtyLog::automatic, 0, false), DirtyLog::plain);
  EXPECT_EQ(choose_dirty_log(DirtyLog::automatic, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, false),
            DirtyLog::manual);
  EXPECT_EQ(choose_dirty_log(DirtyLog::plain, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, false), DirtyLog::plain);
  EXPECT_EQ(choose_dirty_log(DirtyLog::automatic, 3, true), DirtyLog::ring);
}

class OddSlots : public KvmTest, public testing::WithParamInterface<DirtyLog> {};

// 65 pages at the end of memory: more than a word of the bitmap, less than two. The checker's pages end
// there.
TEST_P(OddSlots, SizesNeedNotBeWholeWords) {
  auto configuration = usual(2);
  configuration.dirty_log = GetParam();
  configuration.dirty_ring_size = GetParam() == DirtyLog::ring ? 1 << 20 : 0;
  constexpr std::uint64_t checker_end = (std::uint64_t{4} << 20) + 2048 * kPageSize;
  constexpr std::uint64_t last = 65 * kPageSize;
  configuration.memory = {{"low", 0, 0xa0000},
                          {"high", microvm::kHighMemory, checker_end - last - microvm::kHighMemory},
                          {"odd", checker_end - last, last},
                          {"page", std::uint64_t{1} << 30, kPageSize}};
  const auto source = start_checker(configuration);
  const auto destination = make(configuration);
  const auto moved = move(*source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_TRUE(have_same_memory(*source, *destination));
  destination->run();
  expect_good_memory(*destination);
}
INSTANTIATE_TEST_SUITE_P(Kvm, OddSlots, testing::Values(DirtyLog::plain, DirtyLog::manual, DirtyLog::ring));

class MemorySlots : public KvmTest {
 protected:
  static microvm::Configuration with_extra(bool read_only) {
    auto configuration = usual();
    configuration.memory.push_back({"extra", std::uint64_t{1} << 30, 16 * kPageSize, read_only});
    return configuration;
  }
  static constexpr std::size_t kExtra = 2;

  /// Moves a VM whose devices write to the extra slot after its first round.
  Hop move_and_write(bool read_only, bool mark, std::unique_ptr<VirtualMachine>& destination) {
    source = start_checker(with_extra(read_only));
    std::fill_n(source->memory(kExtra).data(), 16 * kPageSize, std::byte{1});
    destination = make(with_extra(read_only));
    bool written = false;
    source->watch([&](const Progress& progress) {
      if (progress.round != 2 || progress.stopped) return;
      written = true;
      source->memory(kExtra)[5 * kPageSize + 7] = std::byte{2};
      if (mark) source->machine().mark_dirty(kExtra, 5 * kPageSize + 7, 1);
    });
    // So slow that what the guest writes meanwhile takes a second round at least.
    SendOptions options;
    options.bandwidth = Rate{20'000'000};
    auto moved = move(*source, *destination, options);
    EXPECT_TRUE(written);
    return moved;
  }

  std::unique_ptr<VirtualMachine> source;
};

TEST_F(MemorySlots, WhatDevicesWriteAndMarkArrives) {
  for (const bool read_only : {false, true}) {
    std::unique_ptr<VirtualMachine> destination;
    const auto moved = move_and_write(read_only, true, destination);
    ASSERT_TRUE(moved.sent) << moved.sent.error().message;
    EXPECT_EQ(destination->memory(kExtra)[5 * kPageSize + 7], std::byte{2});
    EXPECT_EQ(destination->memory(kExtra)[16 * kPageSize - 1], std::byte{1});
    EXPECT_TRUE(have_same_memory(*source, *destination));
  }
}

TEST_F(MemorySlots, WhatIsNotMarkedDoesNotArrive) {
  std::unique_ptr<VirtualMachine> destination;
  const auto moved = move_and_write(false, false, destination);
  ASSERT_TRUE(moved.sent);
  EXPECT_EQ(destination->memory(kExtra)[5 * kPageSize + 7], std::byte{1});
}

TEST_F(MemorySlots, ReadOnlyOnesAreNotLogged) {
  source = start_checker(with_extra(true));
  bool logged = true;
  source->watch([&](const Progress&) { logged = is_logged(*source, kExtra); });
  const auto destination = make(with_extra(true));
  ASSERT_TRUE(move(*source, *destination).sent);
  EXPECT_FALSE(logged);
}

TEST_F(MemorySlots, OneCanBeTakenAwayMeanwhile) {
  source = start_checker(with_extra(false));
  source->watch([&](const Progress& progress) {
    if (progress.round != 2) return;
    EXPECT_TRUE(source->remove_memory(kExtra));
  });
  const auto destination = make(with_extra(false));
  const auto moved = move(*source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  // It is gone there as well.
  const auto removed_again = destination->machine().remove_slot(kExtra);
  ASSERT_FALSE(removed_again);
  EXPECT_EQ(removed_again.error().code, ErrorCode::not_found);
  destination->run();
  expect_good_memory(*destination);
}

class Unplugging : public MemorySlots, public testing::WithParamInterface<DirtyLog> {
 protected:
  static microvm::Configuration configuration() {
    auto configuration = with_extra(false);
    configuration.dirty_log = GetParam();
    if (GetParam() == DirtyLog::ring) configuration.dirty_ring_size = 1 << 20;
    return configuration;
  }

  /// Takes the extra slot away when the source is asked for the `look`th time since the `round` has begun how
  /// far it is, while the guest runs. What its memory is used for then is not the guest's.
  void unplug_at(std::uint32_t round, int look) {
    source->watch([this, round, look, looks = 0](const Progress& progress) mutable {
      // So that there is a second round while the guest runs, whether it came to run in the first or not.
      if (progress.round == 1) source->machine().mark_dirty(1, kFilled, 1024 * kPageSize);
      if (progress.round != round || ++looks != look) return;
      EXPECT_FALSE(progress.stopped);
      EXPECT_TRUE(source->remove_memory(kExtra));
      std::ranges::fill(source->memory(kExtra), std::byte{2});
      source->machine().mark_dirty(kExtra, 0, 16 * kPageSize);
      unplugged_ = true;
    });
  }

  /// Where the checker's pages begin, in slot 1.
  static constexpr std::uint64_t kFilled = 0x300000;
  bool unplugged_ = false;
};

// In the middle of the first round, before its turn came, and when it was sent once.
TEST_P(Unplugging, WhileTheGuestRuns) {
  for (const auto& [round, look] : {std::pair{1U, 2}, std::pair{2U, 1}}) {
    source = start_checker(configuration());
    std::ranges::fill(source->memory(kExtra), std::byte{1});
    const auto destination = make(configuration());
    unplug_at(round, look);
    SendOptions options;
    options.bandwidth = Rate{20'000'000};
    const auto moved = move(*source, *destination, options);
    EXPECT_TRUE(std::exchange(unplugged_, false));
    ASSERT_TRUE(moved.sent) << moved.sent.error().message;
    const auto sent_of_it = round == 1 ? std::byte{0} : std::byte{1};
    EXPECT_TRUE(
        std::ranges::all_of(destination->memory(kExtra), [&](std::byte b) { return b == sent_of_it; }));
    EXPECT_FALSE(destination->machine().remove_slot(kExtra)) << "it is there still";
    destination->run();
    expect_good_memory(*destination);
  }
}

/// Whether KVM has no memory there.
bool is_free(const VirtualMachine& vm, const microvm::Memory& where) {
  kvm_userspace_memory_region region{};
  region.slot = 100;
  region.guest_phys_addr = where.guest_address;
  region.memory_size = kPageSize;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(vm.description().slots.front().memory);
  return ::ioctl(vm.description().vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

// What ends dirty logging must not give it back to the guest.
TEST_P(Unplugging, StaysDoneThoughTheMoveFails) {
  source = start_checker(configuration());
  auto cancellation = Cancellation::create();
  source->watch([&](const Progress&) {
    EXPECT_TRUE(source->remove_memory(kExtra));
    cancellation->cancel();
  });
  ASSERT_FALSE(move(*source, *make(configuration()), {}, *cancellation).sent);
  source->watch({});
  EXPECT_TRUE(is_free(*source, configuration().memory[kExtra]));
  expect_as_if_nothing_had_been(*source);
}

INSTANTIATE_TEST_SUITE_P(Kvm, Unplugging, testing::Values(DirtyLog::plain, DirtyLog::manual, DirtyLog::ring));

TEST_F(MemorySlots, OneThatIsGoneBeforeIsNotMissed) {
  source = start_checker(with_extra(false));
  ASSERT_TRUE(source->remove_memory(kExtra));
  const auto destination = make(usual());
  const auto moved = move(*source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  destination->run();
  expect_good_memory(*destination);
}

/// The word in brackets of what the kernel has to say about transparent huge pages.
std::string huge_page_policy() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(file, text);
  const auto begin = text.find('[');
  return begin == std::string::npos ? "none" : text.substr(begin + 1, text.find(']') - begin - 1);
}

/// Bytes of huge pages in the mappings of this process that have a part of `memory`.
std::uint64_t in_huge_pages(std::span<const std::byte> memory) {
  const auto first = reinterpret_cast<std::uintptr_t>(memory.data());
  std::ifstream maps("/proc/self/smaps");
  std::uint64_t kib = 0;
  bool overlaps = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    unsigned long size = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2)
      overlaps = begin < first + memory.size() && first < end;
    else if (overlaps && std::sscanf(line.c_str(), "AnonHugePages: %lu kB", &size) == 1)
      kib += size;
  }
  return kib * 1024;
}

TEST_F(MemorySlots, HugePagesAreSplitAsNeeded) {
  if (const auto policy = huge_page_policy(); policy == "never" || policy == "none")
    GTEST_SKIP() << "this machine gives no transparent huge pages";
  auto configuration = usual();
  configuration.huge_pages = true;
  source = start_checker(configuration);
  // Else KVM would have no huge page to split.
  for (std::size_t slot = 0; slot < configuration.memory.size(); ++slot) {
    const auto host_address = reinterpret_cast<std::uintptr_t>(source->memory(slot).data());
    EXPECT_EQ((host_address - configuration.memory[slot].guest_address) % microvm::kHugePageSize, 0U) << slot;
  }
  // The checker's pages are four of them.
  EXPECT_GE(in_huge_pages(source->memory(1)), 4 * microvm::kHugePageSize);
  const auto destination = make(configuration);
  const auto moved = move(*source, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  // Not 2 MiB for every page that was written.
  EXPECT_LT(moved.sent->rounds.back().pages, 1024U);
  EXPECT_TRUE(have_same_memory(*source, *destination));
  destination->run();
  expect_good_memory(*destination);
}

TEST_F(MemorySlots, SenselessOnesAreRefused) {
  source = make(usual());
  const auto refused = [&](auto change) {
    auto description = source->description();
    change(description);
    const auto machine = Machine::create(std::move(description), *source);
    return !machine && machine.error().code == ErrorCode::usage;
  };
  EXPECT_TRUE(refused([](auto& d) { d.slots.clear(); }));
  EXPECT_TRUE(refused([](auto& d) { d.slots[0].name = ""; }));
  EXPECT_TRUE(refused([](auto& d) { d.slots[0].name = std::string(256, 'x'); }));
  EXPECT_TRUE(refused([](auto& d) { d.slots[1].name = d.slots[0].name; }));
  EXPECT_TRUE(refused([](auto& d) { d.slots[1].number = d.slots[0].number; }));
  EXPECT_TRUE(refused([](auto& d) { d.slots[0].size += 1; }));
  EXPECT_TRUE(refused([](auto& d) { d.slots[0].memory = nullptr; }));
  EXPECT_TRUE(refused([](auto& d) { d.vcpus.clear(); }));
  EXPECT_TRUE(refused([](auto& d) { d.dirty_log = DirtyLog::ring; }));
  EXPECT_TRUE(refused([](auto& d) { d.dirty_ring_size = kPageSize / 2; }));
  EXPECT_TRUE(refused([](auto& d) { d.dirty_ring_size = 3 * kPageSize; }));
}

}  // namespace
}  // namespace vmigrate::kvm
