#include "kvm/receiver.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <linux/kvm.h>

#include "kvm/board_state.hpp"
#include "kvm/compatibility.hpp"
#include "kvm/own_section.hpp"
#include "kvm/state_codec.hpp"
#include "kvm/stream_names.hpp"
#include "kvm/vcpu_state.hpp"
#include "stream/composer.hpp"
#include "stream/format.hpp"

namespace vmigrate::kvm {
namespace {

// Read, summed up and copied while it is in a core's own cache.
constexpr std::size_t kReadPiece = std::size_t{256} * 1024;

/// What the stream of every VM of ours begins with.
ByteBuffer expected_head() {
  stream::Composer composer;
  composer.head(kMachineName);
  return composer.output();
}

/// What every stream ends with.
ByteBuffer expected_end() {
  stream::Composer composer;
  composer.end();
  return composer.output();
}

std::size_t tail_size(std::size_t state) {
  return own_section_head_size(kStateSection) + state + kOwnSectionFooterSize + expected_end().size();
}

}  // namespace

Receiver::Receiver(MachineParts& machine, int socket, const Cancellation& cancellation)
    : machine_(machine), connection_(socket, cancellation) {
}

Result<ReceiveReport> Receiver::run() {
  auto done = take_in();
  if (!done) {
    // The source hears why, if it is still there; what went wrong is more important than whether it does.
    (void)answer({Answer::Kind::refused, false, done.error().message});
    (void)answer({Answer::Kind::ended, false, {}});
    return fail(done.error());
  }
  if (auto told = answer({Answer::Kind::ended, true, {}}); !told) return fail(told.error());
  return ReceiveReport{placer_->pages(), placer_->zero_pages(),
                       Bytes{digester_.count() + placer_->tail().size()}};
}

Result<> Receiver::take_in() {
  if (auto read = read_head(); !read) return read;
  if (auto agreed = agree(); !agreed) return agreed;
  if (auto received = receive_all(); !received) return received;
  return load();
}

Result<> Receiver::read_head() {
  const auto begin = expected_head();
  const auto section = own_section_head_size(kNeedsSection);
  head_.resize(begin.size() + section);
  if (auto read = connection_.read_exactly(head_); !read) return read;
  if (!std::equal(begin.begin(), begin.end(), head_.begin())) {
    return fail(ErrorCode::refused, "what comes is not the stream of a VM that runs on KVM directly");
  }
  const auto size =
      read_own_section_head(ByteView(head_).subspan(begin.size()), kNeedsSection, kLargestNeeds);
  if (!size) return fail(size.error());
  const auto body = head_.size();
  head_.resize(body + *size + kOwnSectionFooterSize);
  if (auto read = connection_.read_exactly(std::span(head_).subspan(body)); !read) return read;
  auto needs = decode_needs(ByteView(head_).subspan(body, *size));
  if (!needs) return fail(needs.error());
  needs_ = std::move(*needs);
  return {};
}

Result<> Receiver::agree() {
  if (auto checked = check_needs(needs_, machine_.needs(), machine_.host); !checked) return checked;
  if (auto tried = try_vcpu(machine_.description.vcpus.front(), needs_); !tried) return tried;
  std::vector<const Slot*> slots;
  for (const auto& shape : needs_.slots) {
    const auto slot =
        std::find_if(machine_.slots.all.begin(), machine_.slots.all.end(),
                     [&](const auto& candidate) { return candidate->memory.name == shape.name; });
    slots.push_back(slot->get());
  }
  placer_.emplace(std::move(slots), tail_size(largest_state(needs_.vcpus)));
  if (auto taken = take(head_); !taken) return taken;
  return answer({Answer::Kind::accepted, false, {}});
}

Result<> Receiver::receive_all() {
  const auto end = expected_end();
  ByteBuffer buffer(kReadPiece);
  for (;;) {
    const auto& tail = placer_->tail();
    if (tail.size() >= end.size() && std::equal(end.rbegin(), end.rend(), tail.rbegin())) {
      // The end, unless the state happens to have such bytes in it.
      if (tail.size() < own_section_head_size(kStateSection))
        return fail(ErrorCode::refused, "the VM has no state");
      const auto size = read_own_section_head(tail, kStateSection, largest_state(needs_.vcpus));
      if (!size) return fail(size.error());
      if (tail.size() >= tail_size(*size)) return {};
    }
    const auto count = connection_.read(buffer);
    if (!count) return fail(count.error());
    if (*count == 0)
      return fail(ErrorCode::unreachable, "the source has closed the connection before all had come");
    if (auto taken = take(ByteView(buffer).first(*count)); !taken) return taken;
  }
}

Result<> Receiver::take(ByteView bytes) {
  const auto before = placer_->tail().size();
  decoder_.feed(bytes, *placer_);
  if (!placer_->result()) return placer_->result();
  if (decoder_.is_opaque() && !placer_->ram_ended()) {
    return fail(ErrorCode::refused, fmt::format("the stream makes no sense: {}", decoder_.opaque_reason()));
  }
  digester_.update(bytes.first(bytes.size() - (placer_->tail().size() - before)));
  return {};
}

Result<> Receiver::load() {
  const auto state = parse_state();
  if (!state) return fail(state.error());
  if (state->stream_bytes != digester_.count() || state->stream_digest != digester_.digest()) {
    return fail(
        ErrorCode::failed, "the memory that has come is not the memory that was sent: its checksum is wrong",
        "try again; if it happens again, look for broken memory or a broken network between the hosts");
  }
  std::vector<CpuidEntries> cpuid;
  for (const auto& vcpu : state->vcpus) cpuid.push_back(vcpu.cpuid);
  if (auto even = check_even(needs_.cpuid, cpuid); !even) return even;
  if (auto loaded = load_state(*state); !loaded) return loaded;
  // It may be sent on from here, and then needs what it needed there.
  machine_.cpuid = std::move(cpuid);
  machine_.shape.cpuid = needs_.cpuid;
  machine_.shape.msrs = needs_.msrs;
  machine_.shape.fixed_msrs = needs_.fixed_msrs;
  machine_.shape.tsc_khz = needs_.tsc_khz;
  return {};
}

Result<State> Receiver::parse_state() const {
  const ByteView tail = placer_->tail();
  const auto size = read_own_section_head(tail, kStateSection, largest_state(needs_.vcpus));
  if (!size) return fail(size.error());
  if (tail.size() != tail_size(*size)) return fail(ErrorCode::refused, "something stands behind the state");
  const auto body = tail.subspan(own_section_head_size(kStateSection), *size);
  if (body.size() < sizeof(Digest)) return fail(ErrorCode::refused, "the state is cut short");
  const auto encoded = body.subspan(sizeof(Digest));
  const auto digest = digest_of(encoded);
  if (!std::equal(digest.begin(), digest.end(), body.begin())) {
    return fail(ErrorCode::failed, "the state is not as it was sent: its checksum is wrong");
  }
  return decode_state(encoded, needs_);
}

Result<> Receiver::load_state(const State& state) {
  const int vm = machine_.description.vm;
  for (const auto& name : state.removed_slots) {
    if (auto removed = machine_.vmm->slot_removed(name); !removed) return removed;
  }
  if (auto loaded = load_interrupt_chips(vm, state.board); !loaded) return loaded;
  for (std::size_t i = 0; i < state.vcpus.size(); ++i) {
    if (auto loaded = load_vcpu(machine_.description.vcpus[i], state.vcpus[i], machine_.shape); !loaded) {
      return fail(loaded.error().in(fmt::format("vCPU {}", i)));
    }
  }
  if (auto loaded = load_timers(vm, state.board); !loaded) return loaded;
  return machine_.vmm->load_devices(state.devices);
}

Result<> Receiver::answer(const Answer& answer) {
  return connection_.write(encode(answer));
}

}  // namespace vmigrate::kvm
