// What a VM of an embedding VMM needs and is, as another host says it, and that host's answers.
#include "fuzz.hpp"
#include "kvm/answers.hpp"
#include "kvm/own_section.hpp"
#include "kvm/state_codec.hpp"
#include "kvm/stream_names.hpp"
#include "stream/format.hpp"

namespace vmigrate::fuzz {
namespace {

using namespace kvm;

enum Form : std::uint8_t { needs, state, head, answers };
constexpr std::uint32_t kForms = 4;

Needs some_needs() {
  Needs result;
  result.processor_vendor = "GenuineIntel";
  result.slots = {{"low", 0, 1 << 20, false}};
  result.vcpus = 2;
  result.cpuid.resize(2);
  result.msrs = {0x10, 0x174};
  result.xsave_size = 4096;
  result.has_local_apic = result.has_interrupt_chips = result.has_timer_chip = true;
  result.has_wide_special_registers = true;
  result.fixed_msrs = {{0x179, 0, 0x10a}};
  return result;
}

State some_state() {
  State result;
  result.vcpus.resize(2);
  for (auto& vcpu : result.vcpus) {
    vcpu.fpu.resize(4096);
    vcpu.extended_control.emplace();
    vcpu.local_apic.emplace();
    vcpu.msrs.push_back({0x10, 0, 5});
    vcpu.cpuid.resize(1);
  }
  result.board.interrupt_chips.resize(3);
  for (std::uint32_t i = 0; i < 3; ++i) result.board.interrupt_chips[i].chip_id = i;
  result.board.timer_chip.emplace();
  result.removed_slots = {"high"};
  result.devices.resize(8);
  return result;
}

void check_needs(ByteView bytes) {
  const auto decoded = decode_needs(bytes);
  if (!decoded) return;
  const auto again = decode_needs(encode(*decoded));
  require(again && encode(*again) == encode(*decoded), "needs written again are the same");
}

void check_state(ByteView bytes) {
  const auto decoded = decode_state(bytes, some_needs());
  if (!decoded) return;
  require(decoded->vcpus.size() == some_needs().vcpus, "the state is of the VM that was accepted");
  const auto again = decode_state(encode(*decoded), some_needs());
  require(again && encode(*again) == encode(*decoded), "a state written again is the same");
}

void check_head(ByteView bytes) {
  // Whoever calls has read exactly so many.
  constexpr auto head_size = own_section_head_size(kNeedsSection);
  if (bytes.size() < head_size) return;
  const auto size = read_own_section_head(bytes.first(head_size), kNeedsSection, kLargestNeeds);
  if (size) require(*size <= kLargestNeeds, "no more is announced than allowed");
}

void check_answers(ByteView bytes) {
  ByteBuffer held = copy_of(bytes);
  for (;;) {
    const auto before = held.size();
    const auto answer = take_answer(held);
    if (!answer || !*answer) return;
    require(held.size() < before, "an answer takes room");
    auto again = encode(**answer);
    const auto same = take_answer(again);
    require(same && *same && (*same)->kind == (*answer)->kind && (*same)->loaded == (*answer)->loaded &&
                (*same)->reason == (*answer)->reason && again.empty(),
            "an answer written again is the same");
  }
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  Seed both;
  both.number(answers, 1).raw(encode(Answer{Answer::Kind::accepted, false, {}}));
  both.raw(encode(Answer{Answer::Kind::refused, false, "no"}))
      .raw(encode(Answer{Answer::Kind::ended, true, {}}));
  Seed section;
  section.number(head, 1).number(4, 1).number(3, 4);
  const std::string name = std::string(stream::kOwnSections) + std::string(kNeedsSection);
  section.number(name.size(), 1)
      .raw(as_byte_view(name))
      .number(0, 4)
      .number(kSectionVersion, 4)
      .number(100, 4);
  return {Seed().number(needs, 1).raw(encode(some_needs())).bytes(),
          Seed().number(state, 1).raw(encode(some_state())).bytes(), both.bytes(), section.bytes()};
}

void check(ByteView input) {
  Input in(input);
  switch (static_cast<Form>(in.number(1) % kForms)) {
    case needs: return check_needs(in.rest());
    case state: return check_state(in.rest());
    case head: return check_head(in.rest());
    case answers: return check_answers(in.rest());
  }
}

}  // namespace vmigrate::fuzz
