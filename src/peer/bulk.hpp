#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/bounded_queue.hpp"
#include "peer/limits.hpp"
#include "peer/session.hpp"
#include "peer/tls_stream.hpp"

/// The RAM lane: one byte stream, cut into numbered chunks that take whichever of the session's bulk
/// connections has room. A connection goes one way, so one thread on either side has the TLS stream to
/// itself.
///
/// A chunk is: number (64 bits, big-endian, from 0), length (32 bits), bytes. Length 0 is the connection's
/// end, followed by the count of the whole stream's bytes (64 bits), the same on all connections. The stream
/// has ended when each connection has said its end and all bytes are there; a connection that goes without
/// saying it has lost something, so a stream that was cut off is never taken for one that has ended.
namespace vmigrate::peer {

class StripedSender : public BulkSender {
 public:
  explicit StripedSender(std::vector<TlsStream> connections);
  ~StripedSender() override;

  Result<> write_parts(Parts parts) override;
  Result<> write_in_place(ByteBuffer buffer) override;
  Result<> finish() override;
  std::chrono::nanoseconds waited() const override;
  void close();

 private:
  Result<> queue_chunk(ByteBuffer chunk);
  void run(TlsStream& connection);
  Result<> carry_all(TlsStream& connection);
  void lose(const Error& why);

  std::vector<TlsStream> connections_;
  BoundedQueue<ByteBuffer> queue_;  // whole chunks, as they go out
  std::uint64_t next_ = 0;          // the writer's own, like written_
  std::uint64_t written_ = 0;
  std::mutex mutex_;
  std::optional<std::uint64_t> total_;  // once it is finished
  std::optional<Error> lost_;
  std::vector<std::thread> threads_;
};

/// Connections join one by one.
///
/// Only so many bytes ahead of the next chunk in order are taken in; a connection with a later one waits.
/// That cannot lock up: every connection carries its chunks in ascending order, so the next one in order is
/// the first that its connection has not yet given, and for that one there is always room.
class StripedReceiver : public BulkReceiver {
 public:
  /// `connections`: how many there will be; each has to say its end.
  explicit StripedReceiver(int connections);
  ~StripedReceiver() override;

  /// False once the receiver is closed.
  bool join(TlsStream connection);
  Result<ByteBuffer> read() override;
  void close();

 private:
  struct Connection {
    explicit Connection(TlsStream taken) : stream(std::move(taken)) {}
    TlsStream stream;
    std::thread thread;
  };
  void run(TlsStream& connection);
  /// False once the connection has said its end.
  Result<bool> receive(TlsStream& connection);
  Result<> take_end(std::uint64_t total);
  void lose(const Error& why);
  bool wait_for_room(std::uint64_t number, std::size_t size);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, ByteBuffer> chunks_;
  std::uint64_t next_ = 0;
  std::uint64_t delivered_ = 0;
  const std::size_t most_kept_;
  std::size_t kept_ = 0;  // in chunks_ and being read
  int left_;              // connections that have not said their end
  std::optional<std::uint64_t> total_;
  std::optional<Error> lost_;
  bool closed_ = false;
  std::list<Connection> connections_;
};

}  // namespace vmigrate::peer
