#include <algorithm>
#include <array>
#include <functional>

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "fixture.hpp"
#include "kvm/answers.hpp"
#include "kvm/own_section.hpp"
#include "kvm/sender.hpp"
#include "kvm/stream_names.hpp"
#include "stream/composer.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

class Hostile : public KvmTest {
 protected:
  /// The stream of a small VM that has never run, as its source sends it.
  static ByteBuffer record(VirtualMachine& source) {
    Wire wire;
    ByteBuffer stream;
    std::jthread destination([&] {
      const auto accepted = encode({Answer::Kind::accepted, false, {}});
      (void)::send(wire.destination.get(), accepted.data(), accepted.size(), MSG_NOSIGNAL);
      ByteBuffer buffer(1 << 20);
      while (!as_text(stream).ends_with("{}")) {
        const auto count = ::recv(wire.destination.get(), buffer.data(), buffer.size(), 0);
        if (count <= 0) return;
        stream.insert(stream.end(), buffer.begin(), buffer.begin() + count);
      }
      const auto loaded = encode({Answer::Kind::ended, true, {}});
      (void)::send(wire.destination.get(), loaded.data(), loaded.size(), MSG_NOSIGNAL);
    });
    const auto cancellation = Cancellation::create();
    const auto sent = source.machine().send(wire.source.get(), {}, *cancellation);
    EXPECT_TRUE(sent) << sent.error().message;
    return stream;
  }

  /// What the VM says to such a stream, which ends there.
  static Result<ReceiveReport> play(ByteView stream, VirtualMachine& destination) {
    Wire wire;
    std::jthread source([&] {
      std::size_t done = 0;
      while (done < stream.size()) {
        const auto count =
            ::send(wire.source.get(), stream.data() + done, stream.size() - done, MSG_NOSIGNAL);
        if (count <= 0) break;
        done += static_cast<std::size_t>(count);
      }
      ::shutdown(wire.source.get(), SHUT_WR);
    });
    const auto cancellation = Cancellation::create();
    auto received = destination.machine().receive(wire.destination.get(), *cancellation);
    ::shutdown(wire.destination.get(), SHUT_RDWR);
    return received;
  }

  static microvm::Configuration small() {
    microvm::Configuration configuration;
    configuration.memory = {{"low", 0, 16 * kPageSize}, {"high", microvm::kHighMemory, 16 * kPageSize}};
    return configuration;
  }
  static std::unique_ptr<VirtualMachine> make_small() {
    auto vm = make(small());
    for (std::size_t i = 0; i < 3 * kPageSize; ++i) vm->memory(0)[i] = static_cast<std::byte>(i);
    return vm;
  }
};

TEST_F(Hostile, WhatWasRecordedIsTaken) {
  const auto source = make_small();
  const auto stream = record(*source);
  const auto destination = make(small());
  const auto received = play(stream, *destination);
  ASSERT_TRUE(received) << received.error().message;
  EXPECT_EQ(received->received.count, stream.size());
  EXPECT_TRUE(have_same_memory(*source, *destination));
}

TEST_F(Hostile, EveryTruncationIsRefused) {
  const auto stream = record(*make_small());
  const auto destination = make(small());
  for (std::size_t size = 0; size < stream.size(); size += size < 3000 ? 7 : 97) {
    const auto received = play(ByteView(stream).first(size), *destination);
    ASSERT_FALSE(received) << size;
    ASSERT_FALSE(received.error().message.empty()) << size;
  }
}

// Wherever a bit is wrong: of what is not covered by the checksum of memory or that of the state, the form
// is.
TEST_F(Hostile, EveryFlippedBitIsFound) {
  const auto stream = record(*make_small());
  const auto destination = make(small());
  for (std::size_t at = 0; at < stream.size(); at += at < 3000 ? 5 : 61) {
    auto broken = stream;
    broken[at] ^= static_cast<std::byte>(1U << at % 8);
    const auto received = play(broken, *destination);
    ASSERT_FALSE(received) << "byte " << at << " of " << stream.size();
    ASSERT_FALSE(received.error().message.empty());
  }
}

TEST_F(Hostile, NothingIsBelievedBeforeItIsChecked) {
  const auto destination = make(small());
  stream::Composer composer;
  composer.head(kMachineName);
  composer.own_section(kNeedsSection, kSectionVersion, {});
  auto huge = composer.output();
  // The length of the section's body.
  for (std::size_t i = 0; i < 4; ++i) huge[huge.size() - kOwnSectionFooterSize - 4 + i] = std::byte{0xff};
  const auto received = play(huge, *destination);
  ASSERT_FALSE(received);
  EXPECT_NE(received.error().message.find("1048576 is the most"), std::string::npos)
      << received.error().message;

  composer.clear_output();
  composer.head("pc-q35-7.2");
  composer.own_section(kNeedsSection, kSectionVersion, ByteBuffer(100));
  const auto foreign = play(composer.output(), *destination);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::refused);
}

/// The source hears by name what does not fit, before anything was begun.
class Mismatch : public Hostile {
 protected:
  static void expect_refused(const microvm::Configuration& there, const std::string& what) {
    const auto destination = make(there);
    expect_refused(*destination, what);
  }
  static void expect_refused(VirtualMachine& destination, const std::string& what) {
    const auto source = start_checker(usual());
    expect_refused(*source, what, [&] { return move(*source, destination); });
  }
  /// A source that needs what it really does not.
  static void expect_needs_refused(const std::function<void(Needs&)>& change, const std::string& what) {
    const auto source = start_checker(usual());
    source->stop();
    const auto parts = MachineParts::create(source->description(), *source);
    source->run();
    ASSERT_TRUE(parts);
    change((*parts)->shape);
    const auto cancellation = Cancellation::create();
    const auto send = [&](int socket) { return Sender(**parts, socket, SendOptions{}, *cancellation).run(); };
    expect_refused(*source, what, [&] { return move_with(send, *make(usual())); });
  }

 private:
  static void expect_refused(VirtualMachine& source, const std::string& what,
                             const std::function<Hop()>& move_it) {
    std::uint32_t rounds = 0;
    source.watch([&](const Progress&) { ++rounds; });
    const auto moved = move_it();
    ASSERT_FALSE(moved.sent);
    EXPECT_EQ(moved.sent.error().code, ErrorCode::refused);
    EXPECT_NE(moved.sent.error().message.find(what), std::string::npos) << moved.sent.error().message;
    EXPECT_EQ(rounds, 0U);
    source.watch({});
    expect_as_if_nothing_had_been(source);
  }
};

TEST_F(Mismatch, ASmallerSlot) {
  auto there = usual();
  there.memory[1].size -= kPageSize;
  expect_refused(there, "memory slot 'high' is 23936 KiB at 0x100000 there and 23932 KiB");
}

TEST_F(Mismatch, ASlotElsewhere) {
  auto there = usual();
  there.memory[1].guest_address += kPageSize;
  expect_refused(there, "0x101000 here");
}

TEST_F(Mismatch, AMissingSlot) {
  auto there = usual();
  there.memory.pop_back();
  expect_refused(there, "no memory slot 'high'");
}

TEST_F(Mismatch, ASlotMore) {
  auto there = usual();
  there.memory.push_back({"more", std::uint64_t{1} << 30, kPageSize});
  expect_refused(there, "2 memory slots are there and 3 here");
}

TEST_F(Mismatch, IsSeenBeforehandByTheNeedsAlone) {
  const auto source = make(usual());
  const auto needs = source->machine().needs();
  ASSERT_TRUE(needs) << needs.error().message;
  EXPECT_TRUE(make(usual())->machine().check(*needs));
  const auto checked = make(usual(2))->machine().check(*needs);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message.find("it has 1 vCPUs, and 2 are here"), std::string::npos);
  EXPECT_FALSE(source->machine().check(ByteView(*needs).first(needs->size() / 2)));
}

TEST_F(Mismatch, MoreVcpus) {
  expect_refused(usual(2), "it has 1 vCPUs, and 2 are here");
}

TEST_F(Mismatch, AProcessorOfAnotherMake) {
  expect_needs_refused([](Needs& needs) { needs.processor_vendor = "SomebodyElse"; },
                       "its host has a processor of SomebodyElse, this one of ");
}

TEST_F(Mismatch, AFeatureThatIsNotHere) {
  // That processors have cores of several kinds, which KVM lets no guest know.
  const auto add_feature = [](Needs& needs) {
    const auto leaf = std::ranges::find_if(
        needs.cpuid, [](const auto& entry) { return entry.function == 7 && entry.index == 0; });
    ASSERT_NE(leaf, needs.cpuid.end());
    leaf->edx |= 1U << 15;
  };
  expect_needs_refused(add_feature, "this host's KVM does not support CPUID 0x7.0 EDX bit 15");
}

TEST_F(Mismatch, FewerMachineCheckBanks) {
  const auto destination = make(usual());
  std::uint64_t one_bank = 1;
  ASSERT_EQ(::ioctl(destination->description().vcpus[0], KVM_X86_SETUP_MCE, &one_bank), 0);
  expect_refused(*destination, "of MSR 0x179");
}

}  // namespace
}  // namespace vmigrate::kvm
