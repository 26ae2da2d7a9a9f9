#pragma once

#include <memory>
#include <optional>
#include <string>

#include "hypervisor.hpp"

namespace vmigrate::simulation {

/// The other end of QEMU's socket at the source.
class StreamSource {
 public:
  virtual ~StreamSource() = default;
  /// QEMU's bytes can still be taken.
  virtual bool takes() const = 0;
  /// They are taken once the link is back.
  virtual bool stalls() const = 0;
  virtual void tell_vcpus_stopped() = 0;
  /// The last of them, with the moment of the VM's life that they hold.
  virtual void carry(std::uint64_t version) = 0;
};

/// libvirt's and QEMU's part of a VM that leaves: goes on by itself once it is started.
class Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  Outgoing(Stage stage, SimulatedHypervisor& hypervisor, Side side,
           const hypervisor::DomainDescription& domain, const hypervisor::OutgoingOptions& options,
           hypervisor::OutgoingEvents events);

  void start();
  void deliver(const hypervisor::PeerMessage& message);
  void answer(bool loaded);
  void abort();
  /// The daemon is gone, or wants no more of it.
  void client_gone(bool killed);

  void attach(std::weak_ptr<StreamSource> stream) { stream_ = std::move(stream); }
  /// The stream's other end was closed.
  void stream_ended();
  void vm_died();
  void libvirtd_died();

 private:
  enum class Step { idle, preparing, memory, last_pages, finish_asked, answered, over };

  /// After some time, if nothing has ended it meanwhile.
  void later(void (Outgoing::*next)());
  void ask_prepare();
  void connect();
  void stop_vm();
  void write_last_pages();
  void give_up();
  void confirm();
  bool can_write() const;
  bool has_vm() const;
  void restore();
  void end(Result<> result);

  const Stage stage_;
  SimulatedHypervisor& hypervisor_;
  const Side side_;
  const bool keeps_definition_;
  const bool was_running_;
  const std::uint64_t process_;
  hypervisor::OutgoingEvents events_;
  std::weak_ptr<StreamSource> stream_;
  Step step_ = Step::idle;
  bool performed_ = false;
  bool loaded_ = false;
  bool client_gone_ = false;
};

/// libvirt's and QEMU's part of a VM that arrives.
class Incoming : public std::enable_shared_from_this<Incoming> {
 public:
  Incoming(Stage stage, SimulatedHypervisor& hypervisor, Side side,
           const hypervisor::DomainDescription& domain, hypervisor::IncomingEvents events);

  void deliver();
  Result<FileDescriptor> connect_stream();
  void arrived(std::uint64_t version) { version_ = version; }
  hypervisor::FinishAnswer finish();
  Result<> discard();
  void client_gone(bool killed);
  void vm_died();
  void libvirtd_died();

 private:
  void prepare();
  bool has_vm() const;
  void lose(const std::string& why);

  const Stage stage_;
  SimulatedHypervisor& hypervisor_;
  const Side side_;
  const bool persistent_;
  const bool was_defined_;
  hypervisor::IncomingEvents events_;
  std::optional<std::uint64_t> process_;
  std::optional<std::uint64_t> version_;
  bool closed_ = false;
  bool finished_ = false;
  bool lost_ = false;
};

}  // namespace vmigrate::simulation
