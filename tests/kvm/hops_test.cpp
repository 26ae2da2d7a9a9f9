#include <map>
#include <vector>

#include <fmt/format.h>
#include <linux/kvm.h>

#include "fixture.hpp"
#include "kvm/calls.hpp"
#include "kvm/counted.hpp"
#include "kvm/sender.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

/// Moves the VM, sees that its twin has the same memory, and lets that run.
std::unique_ptr<VirtualMachine> hop(std::unique_ptr<VirtualMachine> source, const SendOptions& options = {}) {
  auto made = VirtualMachine::create(source->configuration());
  EXPECT_TRUE(made);
  auto destination = std::move(*made);
  const auto moved = move(*source, *destination, options);
  EXPECT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_TRUE(moved.received) << moved.received.error().message;
  EXPECT_FALSE(source->is_running());
  EXPECT_TRUE(have_same_memory(*source, *destination));
  EXPECT_TRUE(destination->machine().claim());
  destination->run();
  return destination;
}

struct Variant {
  std::string name;
  std::uint32_t vcpus;
  DirtyLog log;
  std::uint64_t ring_size;
  int hops;
};

class MemoryHops : public KvmTest, public testing::WithParamInterface<Variant> {};

TEST_P(MemoryHops, NoPageIsBad) {
  auto configuration = usual(GetParam().vcpus);
  configuration.dirty_log = GetParam().log;
  configuration.dirty_ring_size = GetParam().ring_size;
  auto vm = start_checker(configuration);
  for (int i = 0; i < GetParam().hops && !HasFailure(); ++i) {
    vm = hop(std::move(vm));
    expect_good_memory(*vm);
  }
}

INSTANTIATE_TEST_SUITE_P(Kvm, MemoryHops,
                         testing::Values(Variant{"one_vcpu", 1, DirtyLog::automatic, 0, 50},
                                         Variant{"two_vcpus", 2, DirtyLog::automatic, 0, 50},
                                         Variant{"four_vcpus", 4, DirtyLog::automatic, 0, 5},
                                         Variant{"manual", 2, DirtyLog::manual, 0, 5},
                                         Variant{"plain", 2, DirtyLog::plain, 0, 10},
                                         Variant{"ring", 2, DirtyLog::ring, 1 << 20, 10}),
                         [](const auto& variant) { return variant.param.name; });

TEST_F(KvmTest, AVmHasOneToFourVcpus) {
  for (const std::uint32_t vcpus : {0U, 5U}) {
    const auto vm = VirtualMachine::create(usual(vcpus));
    ASSERT_FALSE(vm) << vcpus;
    EXPECT_EQ(vm.error().code, ErrorCode::usage);
    EXPECT_EQ(vm.error().message, "a VM has 1 to 4 vCPUs");
  }
}

class StateHops : public KvmTest, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(StateHops, RegistersTimersAndFpuGoOn) {
  auto vm = start(usual(GetParam()), "state_checker", 0, 0, "started");
  for (int i = 1; i <= 10 && !HasFailure(); ++i) {
    const auto answer = ask(*vm);
    EXPECT_NE(answer.find(fmt::format("state={} fpu=ok sse=ok msr=ok debug=ok tsc=ok", i)), std::string::npos)
        << answer << vm->failure();
    vm = hop(std::move(vm));
  }
}
INSTANTIATE_TEST_SUITE_P(Kvm, StateHops, testing::Values(1U, 2U));

class Hops : public KvmTest {};

/// All copies of a guest that prints "SEQUENCE NONCE" every millisecond, the nonce from outside, and what
/// each of them has printed.
class Copies : public KvmTest {
 protected:
  struct Copy {
    std::unique_ptr<VirtualMachine> vm;
    std::vector<std::string> lines{};
  };

  void add(std::unique_ptr<VirtualMachine> vm) { copies_.push_back({std::move(vm)}); }
  VirtualMachine& last() { return *copies_.back().vm; }

  void move_on() {
    auto next = make(last().configuration());
    const auto moved = move(last(), *next);
    ASSERT_TRUE(moved.sent) << moved.sent.error().message;
    ASSERT_TRUE(next->machine().claim());
    next->run();
    add(std::move(next));
  }
  void await_lines(int count) {
    for (int i = 0; i < count; ++i) {
      copies_.back().lines.push_back(last().devices().await_line(" ", kPatience));
      ASSERT_NE(copies_.back().lines.back(), "") << last().failure();
    }
  }
  /// What shows that two copies ran, or that something was lost or came back; nothing if all is well.
  std::string fault() {
    std::map<std::uint64_t, std::string> nonces;
    std::uint64_t before = 0;
    for (auto& copy : copies_) {
      for (auto& line : copy.vm->devices().take_lines()) copy.lines.push_back(std::move(line));
      for (const auto& line : copy.lines) {
        const auto sequence = std::stoull(line);
        if (nonces.emplace(sequence, line).first->second != line) return "two copies: " + line;
        if (before != 0 && sequence != before + 1) return fmt::format("{} after {}", sequence, before);
        before = sequence;
      }
    }
    return {};
  }

 private:
  std::vector<Copy> copies_;
};

TEST_F(Copies, NoTwoOfTheGuestRunAndNothingIsLost) {
  add(start(usual(), "fork_detector", 1, 0, " "));
  for (int i = 0; i < 5 && !HasFailure(); ++i) {
    await_lines(5);
    move_on();
  }
  await_lines(50);
  EXPECT_EQ(fault(), "");
}

TEST_F(Copies, TwoThatRunAreSeen) {
  add(start(usual(), "fork_detector", 1, 0, " "));
  auto& source = last();
  move_on();
  source.run();
  await_lines(50);
  EXPECT_NE(fault(), "");
}

TEST_F(Hops, GoesOnThoughItIsWrittenTo) {
  SendOptions options;
  options.bandwidth = Rate{20'000'000};
  auto vm = hop(start(usual(), "page_writer", 4, 3000, "writing"), options);
  EXPECT_EQ(vm->failure(), "");
}

Result<std::uint64_t> read_msr(const VirtualMachine& vm, std::uint32_t index) {
  Counted<MsrHead, kvm_msr_entry> buffer(1);
  const kvm_msr_entry entry{index, 0, 0};
  buffer.put(&entry, 1);
  const auto read = call(vm.description().vcpus.front(), kGetMsrs, buffer.head(), "reading an MSR");
  if (!read || *read != 1) return fail(ErrorCode::failed, fmt::format("MSR {:#x} cannot be read", index));
  return buffer.take(1)[0].data;
}

void write_msr(const VirtualMachine& vm, std::uint32_t index, std::uint64_t value) {
  Counted<MsrHead, kvm_msr_entry> buffer(1);
  const kvm_msr_entry entry{index, 0, value};
  buffer.put(&entry, 1);
  const auto written = call(vm.description().vcpus.front(), kSetMsrs, buffer.head(), "writing an MSR");
  ASSERT_TRUE(written && *written == 1) << fmt::format("MSR {:#x}", index);
}

// KVM does not list these.
TEST_F(Hops, MemoryTypesAndMachineChecksGoOn) {
  const std::map<std::uint32_t, std::uint64_t> values{{0x2ff, 0xc06},
                                                      {0x250, 0x0606060606060606},
                                                      {0x26f, 0x0505050505050505},
                                                      {0x202, 0x80000000},
                                                      {0x17a, 4},
                                                      {0x401, 0x8000000000000001},
                                                      {0x47e, 0x1234}};
  auto vm = start_checker(usual());
  vm->stop();
  for (const auto& [index, value] : values) write_msr(*vm, index, value);
  vm->run();
  vm = hop(std::move(vm));
  for (const auto& [index, value] : values) {
    const auto read = read_msr(*vm, index);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, value) << fmt::format("MSR {:#x}", index);
  }
}

TEST_F(Hops, WhatWasTypedIsReadByTheTwin) {
  auto vm = start_checker(usual());
  vm->stop();
  vm->devices().type("s");
  vm->run();
  vm = hop(std::move(vm));
  const auto answer = vm->devices().await_line("pages=", kPatience);
  if (answer.empty()) expect_good_memory(*vm);  // it was answered before the guest stopped
}

/// Forgets one page that the guest has written since the last one was sent, when the guest has stopped.
class ForgetfulTracker : public DirtyTracker {
 public:
  ForgetfulTracker(std::unique_ptr<DirtyTracker> tracker, const VirtualMachine& vm, Slot& slot)
      : tracker_(std::move(tracker)), vm_(vm), slot_(slot) {}

  Result<> collect() override {
    auto collected = tracker_->collect();
    if (!vm_.is_running()) {
      forget(late_);
      return collected;
    }
    // Of those that are known here some were written before they were sent. Of those that come now none was.
    const auto words = slot_.pending.words();
    const std::vector<std::uint64_t> early(words.begin(), words.end());
    late_ = 0;
    while (collected && late_ == 0) {
      collected = tracker_->collect();
      late_ = first_beside(early);
    }
    return collected;
  }
  Result<> rearm(Slot& slot, std::size_t first, std::size_t count) override {
    return tracker_->rearm(slot, first, count);
  }

 private:
  // Of those that get a new sequence number whenever they are written.
  std::size_t first_beside(const std::vector<std::uint64_t>& early) const {
    constexpr std::size_t first_page = (0x400000 - microvm::kHighMemory) / kPageSize;
    for (std::size_t page = first_page; page < first_page + 2048; ++page) {
      const bool known = (early[page / kPagesPerWord] >> page % kPagesPerWord & 1) != 0;
      if ((page - first_page) % 8 >= 2 && !known && slot_.pending.has(page)) return page;
    }
    return 0;
  }
  void forget(std::size_t page) {
    slot_.pending.words()[page / kPagesPerWord] &= ~(std::uint64_t{1} << page % kPagesPerWord);
  }

  std::unique_ptr<DirtyTracker> tracker_;
  const VirtualMachine& vm_;
  Slot& slot_;
  std::size_t late_ = 0;
};

TEST_F(Hops, OneDirtyBitLessIsOneBadPage) {
  auto source = start_checker(usual());
  auto destination = make(usual());
  source->stop();
  auto parts = MachineParts::create(source->description(), *source);
  source->run();
  ASSERT_TRUE(parts);
  auto& machine = **parts;
  machine.start_tracking = [&, real = machine.start_tracking]() -> Result<std::unique_ptr<DirtyTracker>> {
    auto tracker = real();
    if (!tracker) return tracker;
    return std::make_unique<ForgetfulTracker>(std::move(*tracker), *source, *machine.slots.find(1));
  };
  const auto cancellation = Cancellation::create();
  const auto moved = move_with(
      [&](int socket) { return Sender(machine, socket, SendOptions{}, *cancellation).run(); }, *destination);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_FALSE(have_same_memory(*source, *destination));
  destination->run();
  const auto answer = ask(*destination);
  EXPECT_NE(answer.find("bad=1 "), std::string::npos) << answer;
}

}  // namespace
}  // namespace vmigrate::kvm
