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
#include "hypervisor/unix_socket.hpp"

namespace vmigrate::hypervisor {

/// A VM arriving: the peer's libvirt client talks to this host's libvirtd through DestinationGate, over a
/// connection that this move owns. libvirtd destroys the arriving VM when that connection ends before Finish.
class LibvirtIncomingMove final : public IncomingMove {
 public:
  static Result<std::unique_ptr<LibvirtIncomingMove>> create(std::shared_ptr<LibvirtLink> link,
                                                             const IncomingOptions& options,
                                                             IncomingEvents events);
  /// Behaves as a client that dies: what arrived is destroyed before Finish, and stays stopped after it.
  ~LibvirtIncomingMove() override;

  void deliver(PeerMessage message) override;
  Result<FileDescriptor> connect_stream() override;
  FinishAnswer finish(FinishCall call) override;
  Result<> discard() override;

 private:
  LibvirtIncomingMove(std::shared_ptr<LibvirtLink> link, const IncomingOptions& options,
                      IncomingEvents events, FileDescriptor libvirt, bool was_defined);
  // "rpc-gate"
  void serve();
  void on_answer(ByteBuffer message);
  void on_disconnected(const Error& error);

  FinishAnswer judge_answer(ByteBuffer message);
  Result<> remove_domain();
  void close();

  enum class Prepare { none, asked, done, failed };

  const std::shared_ptr<LibvirtLink> link_;
  const DomainDescription domain_;
  const std::string stream_path_;
  const IncomingEvents events_;
  const FileDescriptor libvirt_;
  const bool was_defined_;

  std::mutex mutex_;
  std::condition_variable changed_;
  DestinationGate gate_;
  Prepare prepare_ = Prepare::none;
  std::optional<ByteBuffer> finish_answer_;
  std::string lost_;  ///< why the connection is gone; empty while it is there
  bool closing_ = false;

  std::mutex writing_;
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
