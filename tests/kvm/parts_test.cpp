#include <array>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "kvm/answers.hpp"
#include "kvm/compatibility.hpp"
#include "kvm/cpu_features.hpp"
#include "kvm/dirty_marks.hpp"
#include "kvm/page_copier.hpp"
#include "kvm/send_limit.hpp"
#include "kvm/state_codec.hpp"

namespace vmigrate::kvm {
namespace {

TEST(PageBitmap, KnowsNothingBehindItsEnd) {
  for (const std::size_t pages : {1U, 63U, 64U, 65U, 200U}) {
    PageBitmap bitmap(pages);
    bitmap.set_all();
    EXPECT_EQ(bitmap.count(), pages);
    bitmap.clear();
    bitmap.merge(std::vector<std::uint64_t>(bitmap.words().size(), ~std::uint64_t{0}));
    EXPECT_EQ(bitmap.count(), pages);
  }
}

RC_GTEST_PROP(DirtyMarks, MarkEveryPageThatIsTouched, ()) {
  constexpr std::uint64_t pages = 130;
  DirtyMarks marks(pages * kPageSize);
  const auto offset = *rc::gen::inRange<std::uint64_t>(0, (pages + 2) * kPageSize);
  const auto size =
      *rc::gen::element<std::uint64_t>(0, 1, 2, kPageSize, kPageSize + 1, 70 * kPageSize, UINT64_MAX);
  marks.mark(offset, size);
  PageBitmap taken(pages);
  marks.take(taken);
  for (std::uint64_t page = 0; page < pages; ++page) {
    const auto begin = page * kPageSize;
    const bool touched = size > 0 && offset < begin + kPageSize && (offset >= begin || begin - offset < size);
    RC_ASSERT(taken.has(page) == touched);
  }
  taken.clear();
  marks.take(taken);
  RC_ASSERT(taken.count() == 0U);
}

TEST(ZeroPage, OneBitAnywhereIsSeen) {
  ByteBuffer page(kPageSize);
  EXPECT_TRUE(is_zero_page(page.data()));
  for (std::size_t at = 0; at < kPageSize; ++at) {
    page[at] = std::byte{1};
    ASSERT_FALSE(is_zero_page(page.data())) << at;
    page[at] = std::byte{0};
  }
}

RC_GTEST_PROP(SendLimit, IsNeverExceeded, ()) {
  constexpr Rate rate{1'000'000};
  SendLimit limit(rate);
  const MonotonicTime begin{std::chrono::hours(1)};
  auto now = begin;
  std::uint64_t sent = 0;
  for (const auto bytes :
       *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::inRange<std::uint32_t>(1, 100'000))) {
    sent += bytes;
    now = std::max(now, limit.after(bytes, now)) + std::chrono::microseconds(*rc::gen::inRange(0, 50'000));
  }
  // But for what 10 ms of slack allow.
  const auto allowed = std::chrono::duration<double>(now - begin).count() + 0.0101;
  RC_ASSERT(static_cast<double>(sent) <= allowed * 1e6);
}

TEST(SendLimit, NoneIsNone) {
  SendLimit limit(Rate{});
  const MonotonicTime now{std::chrono::hours(1)};
  EXPECT_EQ(limit.after(1 << 30, now), now);
}

TEST(Answers, AreReadAsTheyWereWritten) {
  for (const Answer& answer :
       {Answer{Answer::Kind::accepted, false, {}}, Answer{Answer::Kind::refused, false, "why"},
        Answer{Answer::Kind::ended, true, {}}, Answer{Answer::Kind::ended, false, {}}}) {
    auto bytes = encode(answer);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      ByteBuffer part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      const auto taken = take_answer(part);
      ASSERT_TRUE(taken);
      EXPECT_FALSE(*taken);
    }
    const auto taken = take_answer(bytes);
    ASSERT_TRUE(taken && *taken);
    EXPECT_EQ((*taken)->kind, answer.kind);
    EXPECT_EQ((*taken)->loaded, answer.loaded);
    EXPECT_EQ((*taken)->reason, answer.reason);
    EXPECT_TRUE(bytes.empty());
  }
}

TEST(Answers, NonsenseIsNone) {
  ByteBuffer bytes{std::byte{0x12}, std::byte{0x34}, std::byte{0}, std::byte{0}};
  EXPECT_FALSE(take_answer(bytes));
  ByteBuffer long_reason{std::byte{0x76}, std::byte{0x02}, std::byte{0xff}, std::byte{0xff}};
  EXPECT_FALSE(take_answer(long_reason));
}

kvm_cpuid_entry2 entry(std::uint32_t function, std::uint32_t eax, std::uint32_t ebx, std::uint32_t ecx,
                       std::uint32_t edx) {
  return {function, 0, 0, eax, ebx, ecx, edx, {}};
}

TEST(CpuFeatures, AreNamed) {
  const CpuidEntries guest{entry(1, 0, 0, 1U << 28 | 1U << 27 | 1U << 31, 1U << 25),
                           entry(7, 0, 1U << 5, 0, 0), entry(0x80000008, 48, 0, 0, 0)};
  const CpuidEntries host{entry(1, 0, 0, 0, 1U << 25), entry(0x80000008, 40, 0, 0, 0)};
  EXPECT_EQ(missing_features(guest, {host}, false),
            (std::vector<std::string>{"avx", "avx2", "physical addresses of 48 bits"}));
  EXPECT_TRUE(missing_features(guest, {host, guest}, false).empty());
  EXPECT_EQ(missing_features({entry(1, 0, 0, 1U << 24, 0)}, {host}, false),
            std::vector<std::string>{"tsc_deadline_timer"});
  EXPECT_TRUE(missing_features({entry(1, 0, 0, 1U << 24, 0)}, {host}, true).empty());
  EXPECT_EQ(missing_features({entry(7, 0, 0, 0, 1U << 15)}, {host}, true),
            std::vector<std::string>{"CPUID 0x7.0 EDX bit 15"});
  // Whatever says that something is there is looked at, named or not.
  struct Leaf {
    std::uint32_t function;
    std::uint32_t index;
    unsigned where;  // EAX, EBX, ECX, EDX
  };
  for (const auto& leaf : {Leaf{7, 1, 0}, Leaf{7, 1, 2}, Leaf{7, 1, 3}, Leaf{7, 2, 3}, Leaf{0xd, 0, 3},
                           Leaf{0xd, 1, 0}, Leaf{0x80000007, 0, 3}, Leaf{0x80000021, 0, 0}}) {
    std::array<std::uint32_t, 4> registers{};
    registers[leaf.where] = 1U << 8;
    auto one = entry(leaf.function, registers[0], registers[1], registers[2], registers[3]);
    one.index = leaf.index;
    one.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    EXPECT_EQ(missing_features({one}, {host}, true).size(), 1U) << std::hex << leaf.function;
  }
  const CpuidEntries second{entry(0x24, 0, 2 | 1U << 17, 0, 0), entry(0x80000008, 40, 0, 0, 0)};
  const CpuidEntries first{entry(0x24, 0, 1 | 1U << 17, 0, 0), entry(0x80000008, 40, 0, 0, 0)};
  EXPECT_EQ(missing_features(second, {first}, true), std::vector<std::string>{"version 2 of AVX10"});
  EXPECT_TRUE(missing_features(first, {second}, true).empty());
  EXPECT_EQ(missing_features({entry(0x24, 0, 1 | 1U << 18, 0, 0)}, {second}, true),
            std::vector<std::string>{"avx10_512"});
  EXPECT_EQ(nesting_feature({entry(0x80000001, 0, 0, 1U << 2, 0)}), "svm");
}

Needs some_needs() {
  Needs needs;
  needs.processor_vendor = "AuthenticAMD";
  needs.slots = {{"low", 0, 0xa0000, false}};
  needs.vcpus = 1;
  needs.msrs = {0x10, 0x174};
  needs.tsc_khz = 2'000'000;
  needs.xsave_size = 4096;
  needs.has_local_apic = needs.has_interrupt_chips = needs.has_timer_chip = true;
  needs.fixed_msrs = {{0x179, 0, 0x10a}};
  return needs;
}

Host some_host() {
  Host host;
  host.processor_vendor = "AuthenticAMD";
  host.msrs = {0x10, 0x174};
  host.xsave_size = 4096;
  host.tsc_khz = 2'000'100;
  return host;
}

/// What stands against it, or nothing.
std::string refusal(const Needs& needs, const Host& host) {
  const auto checked = check_needs(needs, some_needs(), host);
  return checked ? "" : checked.error().message;
}

TEST(Compatibility, EverythingThatDiffersIsNamed) {
  EXPECT_EQ(refusal(some_needs(), some_host()), "");
  auto needs = some_needs();
  needs.processor_vendor = "GenuineIntel";
  EXPECT_NE(refusal(needs, some_host()).find("GenuineIntel, this one of AuthenticAMD"), std::string::npos);
  needs = some_needs();
  needs.msrs.push_back(0xc0000104);
  EXPECT_NE(refusal(needs, some_host()).find("0xc0000104"), std::string::npos);
  needs = some_needs();
  needs.xsave_size = 8192;
  EXPECT_NE(refusal(needs, some_host()).find("8192"), std::string::npos);
  needs = some_needs();
  needs.tsc_khz = 2'100'000;
  EXPECT_NE(refusal(needs, some_host()).find("2100000 kHz"), std::string::npos);
  auto host = some_host();
  host.can_scale_tsc = true;
  EXPECT_EQ(refusal(needs, host), "");
  needs = some_needs();
  needs.has_timer_chip = false;
  needs.has_wide_special_registers = true;
  EXPECT_NE(refusal(needs, some_host()).find("the timer chip is not in the kernel there and is here"),
            std::string::npos);
  EXPECT_NE(refusal(needs, some_host()).find("KVM_SET_SREGS2"), std::string::npos);
}

TEST(Compatibility, VcpusThatDifferAreRefusedByName) {
  const CpuidEntries first{entry(1, 0, 0, 0, 1U << 25), entry(0xb, 0, 0, 0, 0)};
  const CpuidEntries same{entry(1, 0, 1U << 24, 0, 1U << 25), entry(0xb, 0, 0, 0, 1)};
  const CpuidEntries more{entry(1, 0, 0, 1U << 28, 1U << 25)};
  EXPECT_TRUE(check_even(first, {first, same}));
  EXPECT_TRUE(check_even(more, {more, first}));
  const auto uneven = check_even(first, {first, same, more});
  ASSERT_FALSE(uneven);
  EXPECT_EQ(uneven.error().code, ErrorCode::refused);
  EXPECT_NE(uneven.error().message.find("vCPU 2 has features that the first has not: avx"), std::string::npos)
      << uneven.error().message;
}

State some_state() {
  State state;
  state.stream_bytes = 7;
  VcpuState vcpu;
  vcpu.special_registers = kvm_sregs{};
  vcpu.fpu.resize(4096);
  vcpu.extended_control.emplace();
  vcpu.local_apic.emplace();
  vcpu.msrs = {{0x10, 0, 42}};
  vcpu.registers.rip = 0x1234;
  state.vcpus = {vcpu};
  for (std::uint32_t i = 0; i < 3; ++i) state.board.interrupt_chips.emplace_back().chip_id = i;
  state.board.timer_chip.emplace();
  state.devices = {std::byte{5}};
  return state;
}

TEST(StateCodec, ReadsWhatItWrites) {
  const auto state = decode_state(encode(some_state()), some_needs());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->vcpus.at(0).registers.rip, 0x1234U);
  EXPECT_EQ(state->vcpus.at(0).msrs.at(0).data, 42U);
  EXPECT_EQ(state->devices, ByteBuffer{std::byte{5}});
  const auto needs = decode_needs(encode(some_needs()));
  ASSERT_TRUE(needs);
  EXPECT_EQ(needs->slots, some_needs().slots);
  EXPECT_EQ(needs->msrs, some_needs().msrs);
  ASSERT_EQ(needs->fixed_msrs.size(), 1U);
  EXPECT_EQ(needs->fixed_msrs[0].index, 0x179U);
  EXPECT_EQ(needs->fixed_msrs[0].data, 0x10aU);
}

// Field 1 is the version, and in proto3 the last of several counts.
ByteBuffer of_the_next_version(ByteBuffer bytes) {
  bytes.insert(bytes.end(), {std::byte{1 << 3}, std::byte{2}});
  return bytes;
}

TEST(StateCodec, ANewerVersionIsRefused) {
  const auto needs = decode_needs(of_the_next_version(encode(some_needs())));
  ASSERT_FALSE(needs);
  EXPECT_EQ(needs.error().code, ErrorCode::refused);
  EXPECT_NE(needs.error().message.find("has version 2, and 1 is the newest known here"), std::string::npos)
      << needs.error().message;
  const auto state = decode_state(of_the_next_version(encode(some_state())), some_needs());
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().message.find("has version 2"), std::string::npos) << state.error().message;
}

TEST(StateCodec, WhatWasNotAgreedOnIsRefused) {
  const auto refused = [](auto change) {
    auto state = some_state();
    change(state);
    return !decode_state(encode(state), some_needs());
  };
  EXPECT_TRUE(refused([](State& s) { s.vcpus.push_back(s.vcpus[0]); }));
  EXPECT_TRUE(refused([](State& s) { s.vcpus[0].fpu.resize(4095); }));
  EXPECT_TRUE(refused([](State& s) { s.vcpus[0].special_registers = kvm_sregs2{}; }));
  EXPECT_TRUE(refused([](State& s) { s.vcpus[0].local_apic.reset(); }));
  EXPECT_TRUE(refused([](State& s) { s.vcpus[0].msrs.push_back({0x1b, 0, 0}); }));
  EXPECT_TRUE(refused([](State& s) { s.board.interrupt_chips.pop_back(); }));
  EXPECT_TRUE(refused([](State& s) { s.board.interrupt_chips[0].chip_id = 2; }));
  EXPECT_TRUE(refused([](State& s) { s.board.timer_chip.reset(); }));
}

TEST(StateCodec, MoreThanAnyVmHasIsRefused) {
  const auto refused = [](auto change) {
    auto needs = some_needs();
    change(needs);
    return !decode_needs(encode(needs));
  };
  EXPECT_FALSE(refused([](Needs& n) { n.slots.push_back({"high", 0x100000, 0x1000, false}); }));
  EXPECT_TRUE(refused([](Needs& n) { n.slots.push_back(n.slots[0]); }));
  EXPECT_FALSE(refused([](Needs& n) { n.cpuid.resize(256); }));
  EXPECT_TRUE(refused([](Needs& n) { n.cpuid.resize(257); }));
  EXPECT_TRUE(refused([](Needs& n) { n.msrs.resize(4097); }));
  EXPECT_TRUE(refused([](Needs& n) { n.fixed_msrs.resize(4097); }));
  auto state = some_state();
  state.vcpus[0].cpuid.resize(257);
  EXPECT_FALSE(decode_state(encode(state), some_needs()));
  state = some_state();
  state.removed_slots = {"low", "low"};
  EXPECT_FALSE(decode_state(encode(state), some_needs()));
}

TEST(StateCodec, AStateThatIsLargerThanItsVcpusIsNotUnpacked) {
  auto state = some_state();
  state.devices.resize(std::size_t{1} << 20);
  EXPECT_TRUE(decode_state(encode(state), some_needs()));
  // Two bytes each: empty names of removed slots.
  auto bytes = encode(some_state());
  for (int i = 0; i < 100'000; ++i) bytes.insert(bytes.end(), {std::byte{8 << 3 | 2}, std::byte{0}});
  const auto decoded = decode_state(bytes, some_needs());
  ASSERT_FALSE(decoded);
  EXPECT_NE(decoded.error().message.find("beside its devices"), std::string::npos) << decoded.error().message;
}

RC_GTEST_PROP(StateCodec, AnyBytesAreReadOrRefused,
              (const std::vector<std::uint8_t>& noise, std::size_t at)) {
  auto bytes = encode(some_state());
  for (const auto byte : noise) bytes[at++ % bytes.size()] = static_cast<std::byte>(byte);
  bytes.resize(bytes.size() - at % 100);
  (void)decode_state(bytes, some_needs());
  (void)decode_needs(bytes);
}

}  // namespace
}  // namespace vmigrate::kvm
