#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "hypervisor/domain.hpp"

/// The edge to what runs VMs on this host. Everything here is thread-safe; calls may block for as long as the
/// hypervisor takes, so they are made on worker threads, never on the ones that serve I/O.
namespace vmigrate::hypervisor {

/// What the hypervisors of the two hosts say to each other to prepare a move (libvirt: whole RPC messages).
/// vmigrate carries it without looking inside; the gate inside the implementation is what looks.
using PeerMessage = ByteBuffer;

/// The hypervisor's own request, made at the source, that the destination take the VM over (libvirt: Finish;
/// a VMM that embeds the engine: the end of its Send).
struct FinishCall {
  bool cancelled = false;  ///< the source's part failed: clean up, do not take over
  PeerMessage message;
};

/// What the destination's hypervisor made of it. `loaded`: the VM is complete there, its vCPUs stopped.
struct FinishAnswer {
  bool loaded = false;
  PeerMessage message;
  std::string reason;  ///< why not, when not loaded
  std::string hint{};  ///< where to look then
};

struct OutgoingOptions {
  std::string runtime_directory;    ///< of this migration, the same path on both hosts; exists
  Milliseconds max_pause{300};      ///< to begin with, see OutgoingMove::set_max_pause()
  Milliseconds longest_pause{300};  ///< as far as that will be raised while passes come to something
  Rate bandwidth{};                 ///< zero: no limit
  bool keep_source_definition = false;
  Percent max_slowdown{};  ///< as far as set_slowdown() may go; zero: never
};

/// How memory moves, as the hypervisor counts it.
struct MemoryProgress {
  Bytes total;
  Bytes processed;
  Bytes remaining;
  Rate dirty_rate;
  std::uint32_t pass = 0;
  Milliseconds expected_downtime{};
  Percent slowdown;  ///< the share of time that the VM's vCPUs are kept from running
};

/// What the source's side of a move tells. Called from threads of the hypervisor; must not block for long.
struct OutgoingEvents {
  std::function<void(PeerMessage)> to_peer;
  /// QEMU, or the VMM, has connected; its stream is read from here, its return path written here.
  std::function<void(FileDescriptor)> stream_connected;
  /// The source's part is over and the destination is to take over. Nothing further happens until
  /// answer_finish() is called, for however long: the VM stays stopped on both sides.
  std::function<void(FinishCall)> finish_requested;
  /// The move is over here. Success: this host no longer has the VM running (its definition is kept or
  /// removed as asked). Failure: the VM is as it was before, unless finish was answered with success.
  std::function<void(Result<>)> ended;
};

/// One VM leaving this host. Destroying it before `ended` was called waits for the hypervisor to let go.
class OutgoingMove {
 public:
  virtual ~OutgoingMove() = default;
  /// Starts the hypervisor's own migration; returns at once.
  virtual void start() = 0;
  virtual void deliver(PeerMessage message) = 0;
  /// Hands the destination's answer to the hypervisor. Not loaded: it resumes the VM here.
  virtual void answer_finish(FinishAnswer answer) = 0;
  /// Asks for the end of it. `ended` tells when the VM runs here again. Without effect once finish was
  /// requested.
  virtual void abort() = 0;
  virtual Result<MemoryProgress> progress() = 0;
  /// The VM may be stopped once what is left fits into such a pause. A hypervisor that goes from a short
  /// pause to the longest by itself need not heed what is not longer than that.
  virtual Result<> set_max_pause(Milliseconds pause) = 0;
  /// Keeps the VM's vCPUs from running for this share of the time, at most OutgoingOptions::max_slowdown,
  /// until the move is over. It may take effect with the next pass or the one after only.
  virtual Result<> set_slowdown(Percent slowdown) = 0;
};

struct IncomingEvents {
  std::function<void(PeerMessage)> to_peer;
  /// The hypervisor listens for the stream: connect_stream() works from now on.
  std::function<void()> prepared;
  /// The hypervisor here gave the incoming VM up (it crashed, libvirtd went away, the gate refused).
  std::function<void(Error)> failed;
};

/// One VM arriving at this host.
class IncomingMove {
 public:
  virtual ~IncomingMove() = default;
  virtual void deliver(PeerMessage message) = 0;
  virtual Result<FileDescriptor> connect_stream() = 0;
  /// Blocks until the hypervisor has answered. With `cancelled` it destroys what came in.
  virtual FinishAnswer finish(FinishCall call) = 0;
  /// Ends the hypervisor's part and verifies that no incoming VM is left. Success is the proof that this
  /// migration's copy can never run here.
  virtual Result<> discard() = 0;
};

struct IncomingOptions {
  std::string runtime_directory;
  DomainDescription domain;
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  /// Who alone is asked about a VM of such a VMM (see DomainDescription::vmm), whether that has it still or
  /// not. Empty: this one.
  virtual Hypervisor& for_vms_of(const std::string&) { return *this; }

  virtual Result<std::vector<DomainSummary>> list() = 0;
  /// By name or UUID.
  virtual Result<DomainDescription> describe(const std::string& name_or_uuid) = 0;
  /// Not found is an answer (DomainState::absent), not an error: an error means that nobody could say.
  virtual Result<DomainState> state(const VmId& vm) = 0;

  /// Everything that stands against this VM leaving here; empty when nothing does.
  virtual Result<std::vector<Finding>> check_outgoing(const DomainDescription& domain) = 0;
  /// Everything that stands against this VM running here; empty when nothing does. Changes nothing.
  virtual Result<std::vector<Finding>> check_incoming(const DomainDescription& domain) = 0;

  virtual Result<std::unique_ptr<OutgoingMove>> begin_outgoing(const DomainDescription& domain,
                                                               const OutgoingOptions& options,
                                                               OutgoingEvents events) = 0;
  virtual Result<std::unique_ptr<IncomingMove>> begin_incoming(const IncomingOptions& options,
                                                               IncomingEvents events) = 0;

  /// Puts a warning (a few words; none: takes it away) where people see it who would start this VM's vCPUs by
  /// hand. Not possible while a move of it stands.
  virtual Result<> warn_people(const VmId& vm, const std::string& warning) = 0;
  /// Starts the vCPUs of a stopped VM; success also when they run already, if its process answers.
  virtual Result<> resume(const VmId& vm) = 0;
  /// Ends a VM's process; success also when there is none.
  virtual Result<> destroy(const VmId& vm) = 0;
  /// Removes the definition of a VM that does not run; success also when there is none.
  virtual Result<> undefine(const VmId& vm) = 0;
};

}  // namespace vmigrate::hypervisor
