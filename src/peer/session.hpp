#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/units.hpp"

/// The channel between two daemons. docs/protocol.md and proto/vmigrate/peer.proto specify it.
namespace vmigrate::peer {

/// Ordered message streams inside a session. Numbers are on the wire and never change; a lower number goes
/// first when several have something to send. Bulk memory has connections of its own: see BulkSender.
enum class Lane : std::uint32_t {
  control = 1,         ///< serialised vmigrate.ControlMessage
  hypervisor_rpc = 2,  ///< hypervisor::PeerMessage, one a message
  ram_return = 3,      ///< bytes of QEMU's return path
};

/// Who is at the other end, as its certificate proves it.
struct PeerIdentity {
  std::string host;     ///< the name it is configured under
  std::string address;  ///< "10.0.0.2:16510"
  /// What it can do and this side can, too, by its own word: see Endpoint::features.
  std::vector<std::string> features{};
  /// When the first of the certificates that the session rests on ends. No session begins after that.
  std::chrono::system_clock::time_point certificates_end = std::chrono::system_clock::time_point::max();
};

/// The RAM lane's sending end: one ordered byte stream over however many connections the session has.
/// One thread writes.
class BulkSender {
 public:
  virtual ~BulkSender() = default;
  using Parts = std::initializer_list<ByteView>;
  /// One after the other, as if they were one. Blocks while the wire is full. An error is final: the session
  /// is going down.
  virtual Result<> write_parts(Parts parts) = 0;
  Result<> write(ByteView bytes) { return write_parts({bytes}); }
  /// What lies behind the first kHeadRoom bytes of the buffer, kMostInPlace at most, without copying it: the
  /// room in front is for what the wire needs there.
  virtual Result<> write_in_place(ByteBuffer buffer) { return write(ByteView(buffer).subspan(kHeadRoom)); }
  static constexpr std::size_t kHeadRoom = 12;
  static constexpr std::size_t kMostInPlace = std::size_t{128} * 1024;
  /// No more bytes: the receiver reads what is on its way and then the end.
  virtual Result<> finish() = 0;
  /// How long the network has kept the sender waiting: the time for which sockets had no room, without that
  /// in which the receiver's window was closed; the mean over the connections. Never less than before. From
  /// any thread.
  virtual std::chrono::nanoseconds waited() const = 0;
};

/// The RAM lane's receiving end. One thread reads.
class BulkReceiver {
 public:
  virtual ~BulkReceiver() = default;
  /// Blocks for the next bytes, in order, at most 1 MiB. Empty: the sender has finished. An error is final.
  virtual Result<ByteBuffer> read() = 0;
};

/// Called from the session's own thread, one at a time; must not block.
struct SessionEvents {
  std::function<void(Lane, ByteBuffer)> message;
  /// The session is over, once: the peer closed it, the link died (noticed within 5 s) and did not come back
  /// in time, or it broke the protocol. Not called after close() was called from this side.
  std::function<void(Error)> closed;
  /// A connection is lost, for the reason given, and is tried again; with nothing: all are back. Only with a
  /// reconnect window, and from any of the session's threads.
  std::function<void(const std::optional<Error>&)> stalled{};
  /// A message counts as dealt with when `message` returns. With this set, only when dealt_with() says so:
  /// for who queues messages, so that the peer cannot make that queue grow.
  bool dealt_with_later = false;
};

/// A connected and authenticated session: one migration, or one question. The destructor closes it.
class Session {
 public:
  virtual ~Session() = default;
  virtual const PeerIdentity& peer() const = 0;
  /// Starts delivery; until then what arrives waits. Call once.
  virtual void start(SessionEvents events) = 0;
  /// Takes the message over and returns at once; order within a lane is kept. Messages sent after the session
  /// has ended are dropped: `closed` tells.
  virtual void send(Lane lane, ByteBuffer message) = 0;
  /// See SessionEvents::dealt_with_later. From any thread; in the order of the messages or not.
  virtual void dealt_with(Lane /*lane*/, std::size_t /*message_size*/) {}
  /// The RAM lane. The side that dialled sends, the other receives; asking for the wrong end is a programming
  /// error.
  virtual BulkSender& bulk_sender() = 0;
  virtual BulkReceiver& bulk_receiver() = 0;
  /// The shortest that was measured on the control connection; 0: not known.
  virtual std::chrono::nanoseconds round_trip() const = 0;
  /// For how long connections that are lost are tried again while the session stalls: nothing that was sent
  /// is lost by it. Counts from the loss, or from the call if that is later. None, until it is called: the
  /// session ends with its first lost connection. From any thread.
  virtual void set_reconnect_window(Milliseconds window) = 0;
  /// Ends the session and unblocks both bulk ends (as the session's own end does). What was sent on the
  /// message lanes before is still delivered if the link holds.
  virtual void close() = 0;
};

/// Opens sessions to other daemons, by the name they are configured under.
class Dialer {
 public:
  virtual ~Dialer() = default;
  /// Blocks, at most a few seconds. Errors say whether the host is unknown (not_found), does not answer
  /// (unreachable), is somebody else (not_allowed) or speaks another version (refused).
  virtual Result<std::unique_ptr<Session>> dial(const std::string& host) = 0;
};

/// Called for each session that another daemon has opened to this one.
using AcceptHandler = std::function<void(std::unique_ptr<Session>)>;

}  // namespace vmigrate::peer
