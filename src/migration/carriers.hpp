#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/units.hpp"
#include "migration/backlog.hpp"
#include "migration/messages.hpp"
#include "peer/session.hpp"
#include "reduce/memory_need.hpp"

/// What the handover needs to know of the streams that are carried between the hypervisors and the wire; how
/// they are carried is OutgoingStream and IncomingStream.
namespace vmigrate::migration {

/// Carries the stream of a VM that leaves. Destroying it ends both directions.
class OutgoingCarrier {
 public:
  /// Called from threads of the carrier.
  struct Events {
    std::function<void(std::uint32_t)> pass_begun;  ///< over the memory; the first is 1
    std::function<void()> vcpus_stopped;            ///< seen in the stream: the last pages are on their way
    std::function<void(Error)> wire_failed;
  };
  struct Counters {
    std::uint64_t wire_bytes = 0;
    std::uint64_t guest_bytes = 0;  ///< pages that passed, zero pages too, times their size
    std::uint32_t passes = 0;
    /// The share of the time, when it was last looked at, for which network or destination were waited for.
    double network = 0;
  };

  virtual ~OutgoingCarrier() = default;
  /// From now on QEMU's writes fail. One that sends its last pages hears of nothing else while it waits for
  /// the wire, and the VM would stand still as long.
  virtual void cut_off() = 0;
  /// Bytes of the return path, for QEMU here.
  virtual void deliver_return(ByteView bytes) = 0;
  /// Of the whole stream: waits until QEMU has closed its end. One that does not in time gets the digest of
  /// what has passed, which the destination will not find to be all.
  virtual StreamDigest digest(Milliseconds patience) const = 0;
  virtual Counters counters() const = 0;
};

/// Carries the stream of a VM that arrives. Destroying it ends both directions.
class IncomingCarrier {
 public:
  /// Called from threads of the carrier.
  struct Events {
    std::function<void(ByteBuffer)> return_path;
    std::function<void(std::uint64_t)> taken;  ///< bytes of the stream, by QEMU here; again and again
    std::function<void(Error)> failed;
  };

  virtual ~IncomingCarrier() = default;
  /// Waits until as many bytes as `expected` counts were handed to QEMU. An error when they are not the same
  /// bytes, or are not all there by then.
  virtual Result<> verify(const StreamDigest& expected, Milliseconds patience) = 0;
};

class Carriers {
 public:
  virtual ~Carriers() = default;
  /// `wire` must have been unblocked (by closing its session) when the carrier is destroyed.
  /// `backlog` is told what is sent, and holds it back.
  virtual std::unique_ptr<OutgoingCarrier> carry_out(FileDescriptor qemu, peer::BulkSender& wire,
                                                     const reduce::Sizes& sizes,
                                                     std::shared_ptr<Backlog> backlog,
                                                     OutgoingCarrier::Events events) = 0;
  virtual std::unique_ptr<IncomingCarrier> carry_in(FileDescriptor qemu, peer::BulkReceiver& wire,
                                                    Bytes budget, IncomingCarrier::Events events) = 0;
};

/// The real ones.
class StreamCarriers : public Carriers {
 public:
  std::unique_ptr<OutgoingCarrier> carry_out(FileDescriptor qemu, peer::BulkSender& wire,
                                             const reduce::Sizes& sizes, std::shared_ptr<Backlog> backlog,
                                             OutgoingCarrier::Events events) override;
  std::unique_ptr<IncomingCarrier> carry_in(FileDescriptor qemu, peer::BulkReceiver& wire, Bytes budget,
                                            IncomingCarrier::Events events) override;
};

}  // namespace vmigrate::migration
