#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/units.hpp"

namespace vmigrate::hypervisor {

/// A pid may be another process later; with the time of its start it is this one.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start = 0;  ///< clock ticks since the host booted
  bool operator==(const ProcessIdentity&) const = default;
};

/// The process of a VMM, whoever started it. Thread-safe.
class VmmProcess {
 public:
  /// Who is at the other end of a connected Unix socket.
  static Result<VmmProcess> of_peer(int socket);
  /// Nothing if it has ended. An error: that cannot be said.
  static Result<std::optional<VmmProcess>> find(const ProcessIdentity& identity);

  const ProcessIdentity& identity() const { return identity_; }
  /// Becomes readable, and stays so, when the process has ended: for poll(2).
  int file() const { return file_.get(); }
  bool has_ended() const { return await_end(Milliseconds{}); }
  bool await_end(Milliseconds patience) const;
  /// Success: it has ended.
  Result<> kill() const;

 private:
  VmmProcess(const ProcessIdentity& identity, FileDescriptor file)
      : identity_(identity), file_(std::move(file)) {}
  ProcessIdentity identity_;
  FileDescriptor file_;  ///< pidfd_open(2)
};

}  // namespace vmigrate::hypervisor
