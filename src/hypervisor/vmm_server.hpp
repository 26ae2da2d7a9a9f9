#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/identifiers.hpp"
#include "hypervisor/vmm.hpp"
#include "hypervisor/vmm_books.hpp"
#include "vmm/frames.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::hypervisor {

/// The VMMs of this host: takes their connections, reads what they say and sees them end, on a thread of its
/// own
/// ("vmms"). Thread-safe.
class VmmServer {
 public:
  /// `books`: the folder of VmmBooks. What is in them is known from the beginning, connected or not.
  /// `veto`, `hello_patience`: see VmmOptions.
  using Veto = std::function<std::optional<Error>(const VmId&)>;
  static Result<std::unique_ptr<VmmServer>> create(const std::string& socket, const std::string& books,
                                                   Veto veto, Milliseconds hello_patience);
  ~VmmServer();
  VmmServer(const VmmServer&) = delete;
  VmmServer& operator=(const VmmServer&) = delete;

  /// Those that have a VM.
  std::vector<std::shared_ptr<Vmm>> all() const;
  std::shared_ptr<Vmm> find(const VmId& id) const;

  /// One that waits for a VM, for the caller alone until give_back(), take_in() or its end. Waits a moment
  /// for one to come. Nothing: there is none.
  std::shared_ptr<Vmm> borrow(const std::string& kind);
  void give_back(const std::shared_ptr<Vmm>& vmm);
  /// The borrowed one gets this VM; on record before this returns.
  Result<> take_in(const std::shared_ptr<Vmm>& vmm, const VmId& id, const std::string& name);

  /// Ends its process. Success: it has ended, and its VM is forgotten.
  Result<> end(const std::shared_ptr<Vmm>& vmm);
  /// Its process has ended.
  void forget(const std::shared_ptr<Vmm>& vmm);

 private:
  /// One that has not said who it is.
  struct Newcomer {
    FileDescriptor socket;
    MonotonicTime deadline;
    vmm::Frames frames{};
  };
  struct Known {
    std::shared_ptr<Vmm> vmm;
    vmm::Frames frames{};
    bool borrowed = false;
  };

  VmmServer(vmm::Listener listener, VmmBooks books, FileDescriptor wakeup, Veto veto,
            Milliseconds hello_patience)
      : listener_(std::move(listener)),
        books_(std::move(books)),
        wakeup_(std::move(wakeup)),
        veto_(std::move(veto)),
        hello_patience_(hello_patience) {}
  Result<> recall();
  void run(const std::stop_token& stop);
  void wait_for_anything();
  void take_newcomers();
  /// False: it is done with.
  bool hear(Newcomer& newcomer);
  Result<> register_vmm(const vmm::Hello& hello, Newcomer& newcomer);
  Result<Known*> place_for(const vmm::Hello& hello, VmmProcess process);
  void drop_ended();
  Result<> check_place(const VmmRecord& record) const;
  void hear(Known& known);
  void see_ended();

  const vmm::Listener listener_;
  const VmmBooks books_;
  const FileDescriptor wakeup_;
  const Veto veto_;
  const Milliseconds hello_patience_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::list<Known> known_;
  std::list<Newcomer> newcomers_;  ///< the thread's own
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
