#include <string_view>

#include <fmt/format.h>

#include "kvm/compatibility.hpp"
#include "kvm/machine_parts.hpp"
#include "kvm/receiver.hpp"
#include "kvm/sender.hpp"
#include "kvm/state_codec.hpp"
#include "vmigrate/kvm.hpp"

namespace vmigrate::kvm {
namespace {

std::string_view why_not_own(Owner owner) {
  switch (owner) {
    case Owner::own: break;
    case Owner::given: return "it was given away, and may run elsewhere";
    case Owner::received: return "it was received, and may still run where it came from";
    case Owner::spoiled: return "it was to be received, and that failed";
  }
  return {};
}

}  // namespace

Result<> Vmm::load_devices(std::span<const std::byte> state) {
  if (state.empty()) return {};
  return fail(ErrorCode::refused, "the VM has devices that are not known here");
}

Result<> Vmm::slot_removed(const std::string& name) {
  return fail(ErrorCode::refused, "memory slot '" + name + "' was removed while the VM was on its way");
}

class Machine::Parts {
 public:
  explicit Parts(std::unique_ptr<MachineParts> made) : parts(std::move(made)) {}
  std::unique_ptr<MachineParts> parts;
};

Result<Machine> Machine::create(MachineDescription description, Vmm& vmm) {
  auto parts = MachineParts::create(std::move(description), vmm);
  if (!parts) return fail(parts.error());
  return Machine(std::make_unique<Parts>(std::move(*parts)));
}

Machine::Machine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {
}
Machine::Machine(Machine&&) noexcept = default;
Machine::~Machine() = default;

Result<ByteBuffer> Machine::needs() const {
  const auto needs = parts_->parts->needs();
  if (auto movable = check_movable(needs, parts_->parts->cpuid); !movable) return fail(movable.error());
  return encode(needs);
}

Result<> Machine::check(ByteView needs) const {
  const auto decoded = decode_needs(needs);
  if (!decoded) return fail(decoded.error());
  return check_needs(*decoded, parts_->parts->needs(), parts_->parts->host);
}

Result<SendReport> Machine::send(int socket, const SendOptions& options, const Cancellation& cancellation) {
  auto& parts = *parts_->parts;
  // If it failed it would let the guest run on, which another host may own.
  if (parts.owner != Owner::own) {
    return fail(ErrorCode::usage, fmt::format("this VM cannot be sent: {}", why_not_own(parts.owner)));
  }
  parts.wishes.begin();
  auto sent = Sender(parts, socket, options, cancellation).run();
  parts.wishes.end();
  if (sent) parts.owner = Owner::given;
  return sent;
}

Result<> Machine::allow_pause(Milliseconds pause) {
  return parts_->parts->wishes.allow_pause(pause);
}

Result<> Machine::slow_down(Percent slowdown) {
  return parts_->parts->wishes.slow_down(slowdown);
}

Result<ReceiveReport> Machine::receive(int socket, const Cancellation& cancellation) {
  auto& parts = *parts_->parts;
  parts.owner = Owner::spoiled;
  auto received = Receiver(parts, socket, cancellation).run();
  if (received) parts.owner = Owner::received;
  return received;
}

Result<> Machine::claim() {
  auto& owner = parts_->parts->owner;
  if (owner == Owner::spoiled) {
    return fail(ErrorCode::usage, fmt::format("this VM cannot be claimed: {}", why_not_own(owner)));
  }
  owner = Owner::own;
  parts_->parts->tracker_left.reset();
  return {};
}

void Machine::mark_dirty(std::uint32_t slot, std::uint64_t offset, std::uint64_t size) {
  if (auto* found = parts_->parts->slots.find(slot)) found->marks.mark(offset, size);
}

Result<> Machine::remove_slot(std::uint32_t slot) {
  auto& slots = parts_->parts->slots;
  const std::lock_guard lock(slots.mutex);
  auto* found = slots.find(slot);
  if (found == nullptr || found->removed) return fail(ErrorCode::not_found, "there is no such memory slot");
  found->removed = true;
  return {};
}

Result<> Machine::ring_full() {
  auto& ring = parts_->parts->ring;
  return ring ? ring->harvest() : Result<>();
}

}  // namespace vmigrate::kvm
