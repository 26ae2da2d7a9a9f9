#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/units.hpp"
#include "hypervisor/vmm_books.hpp"
#include "vmigrate/vmm.pb.h"

namespace vmigrate::hypervisor {

/// A VMM answers at once, whatever its VM does; only making a VM takes as long as its memory does.
inline constexpr Milliseconds kAnswerPatience{5'000};

/// A VMM of this host that has registered: its process, and the connection to it, which may be gone for a
/// while. Thread-safe.
class Vmm {
 public:
  /// `record` without an id: it waits for a VM.
  Vmm(VmmRecord record, VmmProcess process) : process_(std::move(process)), record_(std::move(record)) {}
  Vmm(const Vmm&) = delete;
  Vmm& operator=(const Vmm&) = delete;

  VmmRecord record() const;
  const VmmProcess& process() const { return process_; }
  bool is_connected() const;

  /// Waits for the answer, at most so long, and before that for the connection if there is none; without
  /// `patience` until the connection is lost. An error is the VMM's own, or unreachable.
  Result<vmm::Reply> ask(vmm::Request request, std::optional<Milliseconds> patience);
  /// Is told how a Send goes on, on the thread that reads; must not block. Empty: nobody.
  void watch_progress(std::function<void(const vmm::Progress&)> watcher);

  // For the VmmServer.
  void set_record(VmmRecord record);
  void connect(FileDescriptor socket);
  void disconnect();
  /// -1 when there is no connection.
  int socket() const;
  void take(const vmm::FromVmm& message);

 private:
  Error gone() const;
  void lose_connection();

  const VmmProcess process_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  VmmRecord record_;
  FileDescriptor socket_;
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, std::optional<Result<vmm::Reply>>> asked_;
  std::mutex progress_mutex_;  ///< held while the watcher is told
  std::function<void(const vmm::Progress&)> progress_watcher_;
};

}  // namespace vmigrate::hypervisor
