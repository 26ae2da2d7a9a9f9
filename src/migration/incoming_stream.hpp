#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "migration/batch_receiver.hpp"
#include "migration/carriers.hpp"
#include "migration/stream_digest.hpp"
#include "peer/session.hpp"

namespace vmigrate::migration {

/// Carries the stream from the wire to the destination's QEMU ("ram-in" and the threads of the BatchReceiver)
/// and QEMU's return path back ("ram-return", which also says how much QEMU has taken).
class IncomingStream : public IncomingCarrier {
 public:
  IncomingStream(FileDescriptor qemu, peer::BulkReceiver& wire, Bytes budget, Events events);
  /// Ends both directions and joins. `wire` must have been unblocked (by closing its session).
  ~IncomingStream() override;
  IncomingStream(const IncomingStream&) = delete;
  IncomingStream& operator=(const IncomingStream&) = delete;

  Result<> verify(const StreamDigest& expected, Milliseconds patience) override;

 private:
  void pump();
  void pump_return();
  void carry_return();
  void say_taken();
  Result<> receive_all();
  Result<> hand_to_qemu(ByteView bytes);
  bool write_to_qemu(ByteView bytes);

  FileDescriptor qemu_;
  peer::BulkReceiver& wire_;
  Events events_;
  std::mutex mutex_;
  std::condition_variable progressed_;
  StreamDigester digester_;
  bool ended_ = false;
  std::optional<Error> failed_;
  std::uint64_t said_ = 0;  // to be taken; the return path's thread's own
  BatchReceiver receiver_;
  std::jthread thread_;
  std::jthread return_thread_;
};

}  // namespace vmigrate::migration
