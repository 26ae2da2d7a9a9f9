#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/vmm_server.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::hypervisor {

/// A VM leaving with its VMM's own engine: Send on a thread of its own ("move-NAME"), whose end is the
/// request to take the VM over.
class VmmOutgoingMove final : public OutgoingMove {
 public:
  static Result<std::unique_ptr<VmmOutgoingMove>> create(std::shared_ptr<VmmServer> server,
                                                         std::shared_ptr<Vmm> vmm,
                                                         const DomainDescription& domain,
                                                         const OutgoingOptions& options,
                                                         OutgoingEvents events);
  /// A VM whose finish is not answered stays stopped, any other runs on.
  ~VmmOutgoingMove() override;

  void start() override;
  void deliver(PeerMessage message) override;
  void answer_finish(FinishAnswer answer) override;
  void abort() override;
  Result<MemoryProgress> progress() override;
  Result<> set_max_pause(Milliseconds pause) override;
  Result<> set_slowdown(Percent slowdown) override;

 private:
  VmmOutgoingMove(std::shared_ptr<VmmServer> server, std::shared_ptr<Vmm> vmm,
                  const DomainDescription& domain, const OutgoingOptions& options, OutgoingEvents events,
                  vmm::Listener listener);

  // "move-NAME"
  void run();
  Result<vmm::Reply> send();
  void tell_end(Result<> result);
  std::optional<FinishAnswer> await_answer();
  Result<> let_go();
  Result<> take_back(const FinishAnswer& answer);
  // "ram-accept"
  void accept_stream();
  void note(const vmm::Progress& progress);

  const std::shared_ptr<VmmServer> server_;
  const std::shared_ptr<Vmm> vmm_;
  const std::string name_;
  const Bytes total_;
  const bool was_running_;
  const OutgoingOptions options_;
  const OutgoingEvents events_;
  const std::string path_;
  const vmm::Listener listener_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool sent_ = false;
  bool abort_asked_ = false;
  bool owner_gone_ = false;
  std::optional<FinishAnswer> answer_;
  MemoryProgress progress_;
  MonotonicTime round_begun_;

  std::jthread stream_thread_;
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
