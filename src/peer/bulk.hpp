#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/bounded_queue.hpp"
#include "peer/bulk_inlet.hpp"
#include "peer/bulk_outlet.hpp"
#include "peer/limits.hpp"
#include "peer/queue_bound.hpp"
#include "peer/reception.hpp"
#include "peer/session.hpp"

/// The RAM lane: one byte stream, cut into numbered chunks that take whichever of the session's bulk
/// connections has room. Each connection comes back for itself when it is lost, and carries again what was
/// lost on it. At the stream's end chunks that one does not get rid of are carried by another as well;
/// whichever comes second is thrown away.
///
/// A chunk is: number (64 bits, big-endian, from 0), length (32 bits), bytes. Length 0 is the connection's
/// end, followed by the count of the whole stream's bytes (64 bits), the same on all connections. The stream
/// has ended when each connection has said its end and all bytes are there; a connection that goes without
/// saying it has lost something, so a stream that was cut off is never taken for one that has ended.
namespace vmigrate::peer {

class StripedSender : public BulkSender {
 public:
  /// The connections are opened meanwhile; until then what is written waits.
  StripedSender(std::shared_ptr<Reconnector> reconnector, int connections, Patience patience);
  ~StripedSender() override;

  Result<> write_parts(Parts parts) override;
  Result<> write_in_place(ByteBuffer buffer) override;
  /// Does not wait for what is on its way: that is sent, and sent again, as long as the session lives.
  Result<> finish() override;
  std::chrono::nanoseconds waited() const override;
  void close();

 private:
  Result<> queue_chunk(ByteBuffer chunk);
  void keep_to_bound();
  std::chrono::nanoseconds overdue_after() const;
  Left left_of_sisters(int number);
  std::optional<std::uint64_t> total() const;
  void run(BulkOutlet& outlet);
  void lose(const Error& why);

  const std::shared_ptr<Reconnector> reconnector_;
  // The writer's own:
  std::uint64_t next_ = 0;
  std::uint64_t written_ = 0;
  QueueBound bound_;
  BoundedQueue<ByteBuffer> queue_;      // whole chunks, as they go out
  std::atomic<std::size_t> unsent_{0};  // of each connection, in the kernel
  mutable std::mutex mutex_;
  std::optional<std::uint64_t> total_;        // once it is finished
  std::chrono::nanoseconds overdue_after_{};  // likewise
  std::optional<Error> lost_;
  std::list<BulkOutlet> outlets_;
  std::vector<std::thread> threads_;
};

/// Connections join one by one.
///
/// Only so many bytes ahead of the next chunk in order are taken in; a connection with a later one waits.
/// That cannot lock up: every connection carries what it took from the queue in ascending order, so the next
/// one in order is the first that its connection has not yet given, and for that one there is always room.
class StripedReceiver : public BulkReceiver {
 public:
  /// All of the session's bulk connections have to say their end.
  StripedReceiver(std::shared_ptr<Reception> reception, Patience patience);
  ~StripedReceiver() override;

  Result<ByteBuffer> read() override;
  void close();

 private:
  struct Line {
    std::unique_ptr<BulkInlet> inlet;
    std::thread thread;  // from when it is first joined
  };
  BulkInlet::Terms terms(Patience patience);
  void on_arrival(int connection);
  void run(BulkInlet& inlet);
  void take_chunk(std::uint64_t number, ByteBuffer bytes);
  Result<> take_end(std::uint64_t total);
  Result<bool> make_room(std::uint64_t number, std::size_t size, MonotonicTime until);
  void give_back(std::size_t size);
  void make_free(std::size_t cost);
  void lose(const Error& why);
  void wake_all();

  const std::shared_ptr<Reception> reception_;
  std::mutex mutex_;
  std::condition_variable next_is_there_;  // or nothing more is to come
  std::condition_variable room_is_there_;  // likewise
  std::map<std::uint64_t, ByteBuffer> chunks_;
  std::uint64_t next_ = 0;
  std::uint64_t delivered_ = 0;
  const std::size_t most_kept_;
  std::size_t kept_ = 0;  // in chunks_ and being read
  int left_;              // connections that have not said their end
  std::optional<std::uint64_t> total_;
  std::optional<Error> lost_;
  bool closed_ = false;
  std::vector<Line> lines_;  // by connection, less one
};

}  // namespace vmigrate::peer
