#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
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
/// A chunk is: number (64 bits, big-endian, from 0), length (32 bits), bytes. Length 0 is the end, followed
/// by the count of all bytes before it (64 bits): a stream that was cut off is never taken for one that has
/// ended.
namespace vmigrate::peer {

class StripedSender : public BulkSender {
 public:
  explicit StripedSender(std::vector<TlsStream> connections);
  ~StripedSender() override;

  Result<> write(ByteView bytes) override;
  Result<> finish() override;
  void close();

 private:
  struct Chunk {
    std::uint64_t number = 0;
    ByteBuffer bytes;
    bool end = false;
  };
  void run(TlsStream& connection);
  Result<> push(Chunk chunk);
  void lose(const Error& why);

  std::vector<TlsStream> connections_;
  BoundedQueue<Chunk> queue_;
  std::uint64_t next_ = 0;
  std::uint64_t total_ = 0;
  std::mutex mutex_;
  Error lost_{ErrorCode::unreachable, "the session is closed", ""};
  std::vector<std::thread> threads_;
};

/// Connections join one by one.
///
/// Only so many chunks ahead of the next one in order are taken in; a connection with a later one waits. That
/// cannot lock up: every connection carries its chunks in ascending order, so the next one in order is the
/// first that its connection has not yet given, and that connection does not wait.
class StripedReceiver : public BulkReceiver {
 public:
  /// `connections`: how many may join, and have to end before something can be taken for lost.
  explicit StripedReceiver(int connections) : left_(connections) {}
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
  Result<> receive(TlsStream& connection);
  bool wait_for_turn(std::uint64_t number);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, ByteBuffer> chunks_;
  std::uint64_t next_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t delivered_ = 0;
  bool ended_ = false;
  std::uint64_t end_number_ = 0;
  bool closed_ = false;
  bool lost_ = false;  // no connection is left
  int left_;           // connections that have not ended
  Error why_{ErrorCode::unreachable, "the session is closed", ""};
  std::list<Connection> connections_;
};

}  // namespace vmigrate::peer
