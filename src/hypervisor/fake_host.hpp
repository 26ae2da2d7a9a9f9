#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/fake_script.hpp"
#include "hypervisor/fake_stream.hpp"
#include "hypervisor/fake_world.hpp"
#include "hypervisor/hypervisor.hpp"

namespace vmigrate::hypervisor {

/// What a FakeHypervisor and its moves share: the VMs of one host. Thread-safe.
class FakeHost {
 public:
  FakeHost(std::string name, std::shared_ptr<FakeWorld> world)
      : name_(std::move(name)), world_(std::move(world)) {}

  FakeScript script;

  void note(const std::string& what) { world_->note(name_, what); }

  void put(const DomainDescription& domain);
  /// Both change the VM and tell the world; without effect when there is none.
  void set_state(const VmId& vm, DomainState state);
  /// Its process is gone: shut off when it is defined, absent otherwise.
  void end(const VmId& vm);
  /// Forgets the VM: neither its process nor its definition is left.
  void remove(const VmId& vm);
  /// It has, or has no more, a definition that outlives its process.
  void set_persistent(const VmId& vm, bool persistent);
  std::optional<DomainDescription> find(const VmId& vm) const;
  std::vector<DomainDescription> all() const;

  FakeStream stream() const;
  void set_stream(FakeStream stream);
  std::vector<Finding> findings(bool incoming) const;
  void set_findings(std::vector<Finding> outgoing, std::vector<Finding> incoming);
  Milliseconds max_pause() const;
  void set_max_pause(Milliseconds pause);
  Percent slowdown() const;
  void set_slowdown(Percent slowdown);
  void make_busy();
  /// Of a busy VM every look at the progress is another pass; of others there is one only.
  std::uint32_t next_pass();

  /// `handler` is called, when kill() ends the VM's process. It must not unwatch.
  void watch_death(const VmId& vm, std::function<void()> handler);
  void unwatch_death(const VmId& vm);
  void kill(const VmId& vm);

 private:
  void change_state(DomainDescription& domain, DomainState state);

  const std::string name_;
  const std::shared_ptr<FakeWorld> world_;
  mutable std::mutex mutex_;
  std::map<VmId, DomainDescription> domains_;
  FakeStream stream_ = example_stream();
  std::vector<Finding> outgoing_findings_;
  std::vector<Finding> incoming_findings_;
  Milliseconds max_pause_{};
  Percent slowdown_;
  bool busy_ = false;
  std::uint32_t pass_ = 0;

  // Held while a handler runs, so that unwatch_death() waits for it.
  std::mutex death_mutex_;
  std::map<VmId, std::function<void()>> death_watches_;
};

std::unique_ptr<OutgoingMove> make_fake_outgoing(std::shared_ptr<FakeHost> host,
                                                 const DomainDescription& domain,
                                                 const OutgoingOptions& options, OutgoingEvents events);
std::unique_ptr<IncomingMove> make_fake_incoming(std::shared_ptr<FakeHost> host,
                                                 const IncomingOptions& options, IncomingEvents events);

/// What the two fakes say to each other, as text, a word a line.
struct FakePrepare {
  VmId vm;
  std::size_t bytes = 0;   ///< of the whole stream
  std::uint64_t hash = 0;  ///< of the whole stream
  bool persistent = false;

  PeerMessage to_message() const;
  static std::optional<FakePrepare> from_message(const PeerMessage& message);
};

/// One end each of a new socket pair.
std::pair<FileDescriptor, FileDescriptor> make_socket_pair();

}  // namespace vmigrate::hypervisor
