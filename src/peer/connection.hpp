#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

/// A connection of a session, and what takes its place when it is lost. Of one thread, but for interrupt()
/// and what was measured.
class Connection {
 public:
  Connection() = default;
  explicit Connection(TlsStream stream) : stream_(std::move(stream)) {}

  TlsStream& stream() { return *stream_; }
  void replace(TlsStream stream);
  /// From any thread: everything fails from now on, until it is replaced.
  void interrupt();
  /// For how long writers have waited for the network, since the first; see WireWait. From any thread.
  std::chrono::nanoseconds waited() const;
  /// See unsent() in tcp.hpp. From any thread.
  std::optional<std::size_t> unsent() const;
  /// The shortest of late; 0: not known. From any thread.
  std::chrono::nanoseconds round_trip() const;

 private:
  mutable std::mutex mutex_;
  std::optional<TlsStream> stream_;
  std::chrono::nanoseconds waited_before_{};
};

}  // namespace vmigrate::peer
