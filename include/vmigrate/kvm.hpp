#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vmigrate/cancellation.hpp"
#include "vmigrate/error.hpp"
#include "vmigrate/units.hpp"

/// Live migration for programs that run KVM guests themselves. docs/embedding.md tells how it is used.
///
/// The VMM makes its VM as ever and describes it to a Machine: descriptors and memory slots. Machine::send()
/// then copies memory while the guest runs, in rounds over KVM's dirty pages, stops the guest through
/// Vmm::pause(), and sends the last pages and the state of vCPUs and interrupt controllers. A Machine of the
/// same shape takes all of it in with receive().
///
/// Who may run the guest afterwards is not decided here: send() succeeds with the guest stopped, and so does
/// receive(). The one rule is that the source must have given the guest up for good before the destination
/// resumes it (see docs/embedding.md, "The handover"). Whoever then runs it says so with Machine::claim().
///
/// All of it is for x86-64. Sources: Documentation/virt/kvm/api.rst of Linux for everything about KVM; the
/// stream is QEMU's (see docs/adr/0007-the-direct-kvm-engine.md).
namespace vmigrate::kvm {

/// Bytes; the unit of dirty logging on x86, whatever the size of the host's pages is.
inline constexpr std::uint64_t kPageSize = 4096;

/// A memory slot, as it was given to KVM_SET_USER_MEMORY_REGION (or ..._REGION2).
struct MemorySlot {
  std::uint32_t number = 0;         ///< its `slot`: the address space in the upper 16 bits, mostly 0
  std::string name{};               ///< tells the slots apart on both hosts: 1 to 255 bytes, used once
  std::uint64_t guest_address = 0;  ///< bytes, a multiple of kPageSize
  std::uint64_t size = 0;           ///< bytes, a multiple of kPageSize, not 0
  /// `size` bytes at the slot's userspace_addr, which the process can read; at a destination also write, even
  /// if the guest cannot.
  std::byte* memory = nullptr;
  /// KVM_MEM_READONLY. Copied once, and then only what mark_dirty() names.
  bool read_only = false;
};

/// How dirty pages are found.
enum class DirtyLog {
  automatic,  ///< the ring if there is one, else `manual` if the kernel offers it, else `plain`
  plain,      ///< KVM_GET_DIRTY_LOG clears what it reads
  manual,     ///< KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: cleared in pieces, each just before it is copied
  ring,       ///< KVM_CAP_DIRTY_LOG_RING, enabled by the VMM before it made vCPUs
};

/// A VM as it stands. The descriptors stay the VMM's and must outlive the Machine.
struct MachineDescription {
  int kvm = -1;              ///< of /dev/kvm
  int vm = -1;               ///< KVM_CREATE_VM
  std::vector<int> vcpus{};  ///< KVM_CREATE_VCPU, in the same order on both hosts
  std::vector<MemorySlot> slots{};
  DirtyLog dirty_log = DirtyLog::automatic;
  /// Bytes of each vCPU's ring, as given to KVM_CAP_DIRTY_LOG_RING(_ACQ_REL); 0: it was not enabled.
  std::uint64_t dirty_ring_size = 0;
};

/// Where a move stands, for Vmm::progress().
struct Progress {
  std::uint32_t round = 0;  ///< the first is 1
  Bytes remaining{};        ///< of this round's memory
  Rate rate{};              ///< of guest memory in the round before; 0 in the first
  bool stopped = false;     ///< this is the last round: the guest is stopped
  Percent slowdown{};       ///< what Vmm::slow_down() was asked for last
};

/// What the engine asks of the VMM. All calls come on the thread that is in send() or receive().
class Vmm {
 public:
  virtual ~Vmm() = default;

  /// Stops the guest: when this returns no vCPU is in KVM_RUN, each has finished the port or memory access
  /// that it had left KVM_RUN for (by entering it once more with `immediate_exit`), and no device writes to
  /// guest memory. A failure ends the move; then the guest must run.
  virtual Result<> pause() = 0;
  /// The move has failed after pause(): the guest goes on. (Not called after a send() that succeeded.)
  virtual void resume() = 0;

  /// The state of the VMM's own devices, in a form of its own: at most 16 MiB. Called after pause().
  virtual Result<std::vector<std::byte>> save_devices() { return std::vector<std::byte>(); }
  /// What save_devices() gave at the source. All else is loaded when this is called.
  virtual Result<> load_devices(std::span<const std::byte> state);
  /// A slot that was removed (see Machine::remove_slot) at the source after the move had begun.
  virtual Result<> slot_removed(const std::string& name);

  /// Memory changes faster than it moves: let the vCPUs run so much less than they would. Never less than
  /// asked before in the same send(); 0 at its end. Only called if SendOptions::max_slowdown allows it, or
  /// after Machine::slow_down().
  virtual void slow_down(Percent) {}
  /// A round begins, or goes on: several times a second. It may call Cancellation::cancel().
  virtual void progress(const Progress&) {}
};

/// What becomes of a move whose rounds come to nothing, although the guest is slowed as far as is allowed.
enum class OnStall {
  give_up,  ///< it fails; the guest goes on
  pause,    ///< the guest is stopped for longer than SendOptions::max_pause
  go_on,    ///< round after round, until Machine::allow_pause() or Cancellation::cancel()
};

struct SendOptions {
  /// How long the guest may stand still. Memory is copied live until the rest will fit.
  Milliseconds max_pause{300};
  /// Bytes a second on the socket while the guest runs; 0: no limit.
  Rate bandwidth{};
  /// How far the guest may be slowed if rounds come to nothing.
  Percent max_slowdown{};
  OnStall on_stall = OnStall::give_up;
  /// How long the guest may stand still at the very most, from Vmm::pause() to the destination's word that it
  /// has loaded: then the move fails and the guest goes on. What Machine::allow_pause() allows comes on top.
  /// The destination has as long to say whether the VM can run there.
  Milliseconds patience{10'000};
};

struct Round {
  std::uint64_t pages = 0;       ///< with content
  std::uint64_t zero_pages = 0;  ///< all zeros: sent as 9 bytes
  std::chrono::nanoseconds duration{};
};

struct SendReport {
  std::vector<Round> rounds{};  ///< the last one with the guest stopped
  Bytes sent{};                 ///< on the socket
  /// The parts of the pause, up to the destination's word that it has loaded.
  std::chrono::nanoseconds stopping{};    ///< Vmm::pause()
  std::chrono::nanoseconds saving{};      ///< the state, and the last look at the dirty log
  std::chrono::nanoseconds last_pages{};  ///< the last round
  std::chrono::nanoseconds loading{};     ///< waiting for the destination
};

struct ReceiveReport {
  std::uint64_t pages = 0;
  std::uint64_t zero_pages = 0;
  Bytes received{};
};

/// One VM, ready to move. Lives as long as the VM does. send(), receive(), claim(), needs() and check()
/// are called one at a time; everything else at any time, from any thread.
class Machine {
 public:
  /// Looks at the VM: no vCPU may be in KVM_RUN, and those of a VM that is to be sent must have their CPUID.
  /// Whether the VM can be moved is for send() to say.
  ///
  /// Errors: usage (the description makes no sense: no vCPUs or slots, two slots of a name, a size that is no
  /// whole pages, rings that were not enabled), failed (KVM does not tell what it is asked).
  static Result<Machine> create(MachineDescription description, Vmm& vmm);
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) = delete;
  ~Machine();

  /// What a host must have for this VM to run there, for check(): a serialised vmigrate.kvm_state.Needs.
  ///
  /// Errors: refused (the VM cannot be moved at all).
  Result<std::vector<std::byte>> needs() const;
  /// Whether a VM with such needs can become this one; receive() looks at the same again.
  ///
  /// Errors: refused, with everything that stands against it.
  Result<> check(std::span<const std::byte> needs) const;

  /// Sends the VM through `socket` (a connected stream socket, which stays the caller's) to where receive()
  /// is. On success the guest is stopped and the destination has all of it and said so. On any failure the
  /// guest runs, dirty logging is off, and it can be called again with another socket.
  ///
  /// The guest must be this VMM's own. It is so from create() on, and is not after a send() that succeeded or
  /// after any receive(), until claim().
  ///
  /// Errors: usage (the guest is not this VMM's own; neither it nor the socket was touched), refused (the
  /// destination cannot run this VM; nothing was begun), cancelled, not_converging, unreachable (the socket),
  /// failed.
  Result<SendReport> send(int socket, const SendOptions& options, const Cancellation& cancellation);

  /// The send() that is under way may stop the guest for so long, whatever the rounds have come to. The next
  /// one begins with SendOptions::max_pause again.
  ///
  /// Errors: usage (none is under way: not yet, or not any more).
  Result<> allow_pause(Milliseconds pause);

  /// The send() that is under way slows the guest at least so far (99% at most), whatever the rounds have
  /// come to; the next one does not. For a VMM whose moves are paced by somebody else.
  ///
  /// Errors: as of allow_pause().
  Result<> slow_down(Percent slowdown);

  /// Takes a VM in. On success this VM is what the source's was when it stopped, and is stopped. On failure
  /// its memory and state are anything: it must not be run. The source hears why, and its guest goes on.
  ///
  /// Errors: refused (this host, or this VM's shape, is not what the source's needs; or what came is no such
  /// stream, or broken), cancelled, unreachable, failed.
  Result<ReceiveReport> receive(int socket, const Cancellation& cancellation);

  /// The VMM says that the guest is its own and nobody else runs it or will: after receive(), that the source
  /// has given it up for good; after send(), that the destination will never run it. To be called before the
  /// guest is run. Nothing checks that it is true.
  ///
  /// Errors: usage (a receive() has failed: there is no whole guest here; make a new VM).
  Result<> claim();

  /// The VMM, not a vCPU, has written `size` bytes at `offset` of a slot: to be called after each write of a
  /// device, whether a move is under way or not. It takes a few nanoseconds a page. What lies outside the
  /// slot, or is of an unknown one, is ignored.
  void mark_dirty(std::uint32_t slot, std::uint64_t offset, std::uint64_t size);

  /// To be called *before* the VMM takes a slot away from KVM: when it returns, its memory is looked at no
  /// more. Waits for at most a few hundred pages to be copied. Unknown slots are not_found.
  Result<> remove_slot(std::uint32_t slot);

  /// To be called when a vCPU leaves KVM_RUN with KVM_EXIT_DIRTY_RING_FULL, before it enters it again.
  ///
  /// Errors: failed (KVM does not take its ring back; the vCPU cannot go on).
  Result<> ring_full();

 private:
  class Parts;
  explicit Machine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace vmigrate::kvm
