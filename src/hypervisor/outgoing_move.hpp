#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "hypervisor/gate.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/libvirt_link.hpp"
#include "hypervisor/source_relay.hpp"
#include "hypervisor/unix_socket.hpp"

namespace vmigrate::hypervisor {

/// A VM leaving by libvirt's managed direct migration: virDomainMigrate3 on a thread of its own
/// ("move-NAME"), with one connection to this host's libvirtd (through SourceRelay) and one to the
/// destination's (through the gate), over sockets in the migration's runtime directory.
class LibvirtOutgoingMove final : public OutgoingMove {
 public:
  static Result<std::unique_ptr<LibvirtOutgoingMove>> create(std::shared_ptr<LibvirtLink> link,
                                                             const DomainDescription& domain,
                                                             const OutgoingOptions& options,
                                                             OutgoingEvents events);
  /// Behaves as a client that dies: a VM whose Finish is not answered stays stopped, any other runs on.
  ~LibvirtOutgoingMove() override;

  void start() override;
  void deliver(PeerMessage message) override;
  void answer_finish(FinishAnswer answer) override;
  void abort() override;
  Result<MemoryProgress> progress() override;
  Result<> set_max_pause(Milliseconds pause) override;
  Result<> set_slowdown(Percent slowdown) override;

 private:
  struct Sockets {
    std::unique_ptr<SourceRelay> source;
    UnixListener gate;
    UnixListener stream;
  };
  LibvirtOutgoingMove(std::shared_ptr<LibvirtLink> link, const DomainDescription& domain,
                      const OutgoingOptions& options, OutgoingEvents events, Sockets sockets);

  // "move-NAME"
  void run();
  Result<> migrate();
  void forget_throttle();
  Result<> call_migrate(virDomainPtr domain, virConnectPtr destination);
  Result<> outcome(Result<> called);
  void make_it_run_again();
  // "rpc-gate"
  void serve_gate();
  void on_call(ByteBuffer message);
  void on_finish(ByteBuffer message);
  // "ram-accept"
  void accept_stream();

  void write_to_client(const ByteBuffer& message);
  void die_in_finish();

  const std::shared_ptr<LibvirtLink> link_;
  const std::string name_;
  const VmId vm_;
  const bool persistent_;
  const bool was_running_;
  const OutgoingOptions options_;
  const OutgoingEvents events_;
  Sockets sockets_;

  std::mutex mutex_;
  std::condition_variable changed_;
  SourceGate gate_;
  FileDescriptor client_;
  Verdict verdict_ = Verdict::none;
  bool abort_asked_ = false;
  bool owner_gone_ = false;
  bool over_ = false;

  std::jthread stream_thread_;
  std::jthread gate_thread_;
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
