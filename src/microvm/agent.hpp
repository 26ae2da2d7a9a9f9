#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "microvm/console.hpp"
#include "microvm/description.hpp"
#include "microvm/virtual_machine.hpp"
#include "vmm/frames.hpp"

namespace vmigrate::microvm {

struct AgentSettings {
  std::string socket;          ///< of `migrated`
  std::string console_folder;  ///< see Console
};

/// Lets `migrated` move the VM of this process, as proto/vmigrate/vmm.proto says. Everything but a move runs
/// on the thread that calls serve(); a move has one of its own ("move").
class Agent {
 public:
  /// `vm`: booted, and runs as soon as `migrated` has it in its books.
  Agent(AgentSettings settings, Identity identity, std::unique_ptr<VirtualMachine> vm);
  /// Without a VM: waits for one. `taken` is called when it has one.
  Agent(AgentSettings settings, std::function<void()> taken);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Until the VM has ended or is another host's. An error: it never was, or cannot be any more.
  Result<> serve();

 private:
  enum class Step {
    none,
    incoming,  ///< the VM is made, and empty
    receiving,
    received,  ///< whole, and may still run where it came from
    sending,
    sent,  ///< stopped, and may run elsewhere
  };

  // The connection
  Result<> talk(FileDescriptor socket);
  Result<> greet();
  Result<> read_and_answer();
  Result<> answer_what_has_come();
  void on_connection_lost();
  Result<> tell(const vmm::FromVmm& message);
  vmm::Hello hello() const;
  void wait_for_daemon() const;

  // What is asked for
  void answer(const vmm::Request& request);
  void reply(std::uint64_t number, const Result<>& result);
  void reply_description(std::uint64_t number);
  Result<> do_at_once(const vmm::Request& request);
  Result<> create(const vmm::Description& description);
  Result<> pause();
  Result<> resume();
  Result<> finish();
  void begin_move(const vmm::Request& request);
  Result<> move(const vmm::Request& request, const Cancellation& cancellation);
  Result<> send(const vmm::Send& request, int socket, const Cancellation& cancellation);
  void report_progress(const kvm::Progress& progress);
  void end_move(bool connected);

  Result<> take(Identity identity, std::unique_ptr<VirtualMachine> vm);
  vmm::State state() const;
  bool has_ended() const;
  void wake() const;

  const AgentSettings settings_;
  const std::function<void()> taken_;
  FileDescriptor wakeup_;
  Identity identity_;
  std::unique_ptr<VirtualMachine> vm_;
  vmm::Description description_;
  bool starts_ = false;  ///< the guest is to run as soon as it is registered
  bool over_ = false;
  Step step_ = Step::none;

  std::mutex mutex_;  ///< of writing to the socket, and of what follows
  FileDescriptor socket_;
  std::optional<Result<>> moved_;

  vmm::Frames frames_;
  std::uint64_t move_number_ = 0;
  std::optional<Cancellation> cancellation_;
  std::jthread move_thread_;
  std::unique_ptr<Console> console_;  ///< gone before the VM
};

}  // namespace vmigrate::microvm
