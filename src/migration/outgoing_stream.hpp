#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "migration/messages.hpp"
#include "migration/stream_digest.hpp"
#include "peer/session.hpp"
#include "stream/decoder.hpp"
#include "stream/statistics.hpp"

namespace vmigrate::migration {

/// Carries QEMU's migration stream from the source's QEMU to the wire, and its return path back, on a thread
/// of its own ("ram-out"). What it holds is one buffer: QEMU is held back by the wire, as its own estimate of
/// the downtime needs it to be.
class OutgoingStream {
 public:
  struct Events {
    std::function<void()> vcpus_stopped;  ///< seen in the stream: the last pages are on their way
    std::function<void(Error)> wire_failed;
  };

  OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, Events events);
  /// Ends both directions and joins. `wire` must have been unblocked (by closing its session).
  ~OutgoingStream();
  OutgoingStream(const OutgoingStream&) = delete;
  OutgoingStream& operator=(const OutgoingStream&) = delete;

  /// Bytes of the return path, for QEMU here.
  void deliver_return(ByteView bytes);
  /// Of everything read from QEMU up to now.
  StreamDigest digest() const;

  struct Counters {
    std::uint64_t stream_bytes = 0;
    std::uint64_t guest_bytes = 0;  ///< pages that passed, zero pages too, times their size
    std::uint32_t passes = 0;
  };
  Counters counters() const;

 private:
  void pump();

  FileDescriptor qemu_;
  peer::BulkSender& wire_;
  Events events_;
  mutable std::mutex mutex_;
  StreamDigester digester_;
  stream::Decoder decoder_;
  stream::StreamStatistics statistics_;
  std::jthread thread_;
};

}  // namespace vmigrate::migration
