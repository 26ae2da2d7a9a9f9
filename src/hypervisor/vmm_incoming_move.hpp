#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/vmm_server.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::hypervisor {

/// A VM arriving at a VMM that waited for one: Create, then Receive on a thread of its own ("move-NAME").
class VmmIncomingMove final : public IncomingMove {
 public:
  /// `vmm`: a borrowed one.
  static Result<std::unique_ptr<VmmIncomingMove>> create(std::shared_ptr<VmmServer> server,
                                                         std::shared_ptr<Vmm> vmm,
                                                         vmm::Description description,
                                                         const IncomingOptions& options,
                                                         IncomingEvents events);
  /// What has not been loaded is ended; a loaded VM stays stopped and is nobody's.
  ~VmmIncomingMove() override;

  void deliver(PeerMessage message) override;
  Result<FileDescriptor> connect_stream() override;
  FinishAnswer finish(FinishCall call) override;
  Result<> discard() override;

 private:
  VmmIncomingMove(std::shared_ptr<VmmServer> server, std::shared_ptr<Vmm> vmm, const IncomingOptions& options,
                  IncomingEvents events, vmm::Listener listener);
  // "move-NAME"
  void run();
  // "ram-accept"
  void accept_stream();

  const std::shared_ptr<VmmServer> server_;
  const std::shared_ptr<Vmm> vmm_;
  const std::string name_;
  const std::string path_;
  const IncomingEvents events_;
  const vmm::Listener listener_;

  std::mutex mutex_;
  std::condition_variable changed_;
  FileDescriptor stream_;
  std::optional<Result<vmm::Reply>> received_;
  bool closing_ = false;

  std::jthread stream_thread_;
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
