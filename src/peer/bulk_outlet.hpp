#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "base/bounded_queue.hpp"
#include "peer/bulk_chunk.hpp"
#include "peer/connection.hpp"
#include "peer/limits.hpp"
#include "peer/reconnector.hpp"
#include "peer/unacknowledged.hpp"

namespace vmigrate::peer {

/// What bulk connections have not got onto the wire.
struct Left {
  std::optional<ByteBuffer> overdue;  ///< a copy of a chunk that others should carry as well
  bool more = false;                  ///< there is another that may become overdue
};

/// The sending end of one bulk connection: takes chunks from a queue that it shares with its sisters, and
/// keeps each until the other end has it. When there are no more, it carries those again that a sister does
/// not get rid of: a connection may be lost, or held back for a while by losses or by its congestion control
/// (BBR sends next to nothing for 0.2 s every 10 s).
class BulkOutlet {
 public:
  struct Terms {
    Reconnector& reconnector;
    BoundedQueue<ByteBuffer>& chunks;
    std::function<std::optional<std::uint64_t>()> total;  ///< bytes of the stream, once that is finished
    Patience patience;
    const std::atomic<std::size_t>& unsent;  ///< that may lie in the kernel; changes
    std::function<Left()> left_of_sisters;
  };
  BulkOutlet(int number, Terms terms) : number_(number), terms_(std::move(terms)) {}

  int number() const { return number_; }
  /// On a thread of its own, until the other end has everything that this connection was to carry.
  Result<> run();
  /// From any thread.
  void interrupt() { connection_.interrupt(); }
  std::chrono::nanoseconds waited() const { return connection_.waited(); }
  /// Its oldest chunk that was not sent although it was taken on so long ago; each is given once. From any
  /// thread.
  Left left(std::chrono::nanoseconds overdue_after);

 private:
  Result<> adopt(Result<Joined> joined);
  Result<> carry_all();
  Result<bool> carry_next();
  Result<> find_more();
  Result<> relieve();
  void take_on(ByteBuffer chunk);
  void add(ByteBuffer chunk);
  void count_sent();
  Result<> acknowledge(std::uint64_t received);
  void forget_acknowledged();
  void set_broken();
  Result<> go_on_from(std::uint64_t received);
  std::size_t first_unsent() const;
  Result<> end();
  Result<> put(ByteView bytes);
  void keep_to_bound();
  Result<> say_sign_of_life();
  Result<> wait(MonotonicTime until);
  Result<> hear();
  Result<> hear_of_life();
  tl::unexpected<Error> lose(const Error& why);

  const int number_;
  const Terms terms_;
  Connection connection_;
  std::size_t unsent_ = 0;  // that the connection was told
  // Sisters look at these, so they are changed with the lock held.
  mutable std::mutex mutex_;
  Unacknowledged chunks_;
  std::deque<MonotonicTime> taken_on_;  // when each of them was
  std::uint64_t own_ = 0;    // all before this one are from the queue; then come copies and its end
  std::uint64_t given_ = 0;  // all before this one are out, or were given to sisters
  bool broken_ = false;      // there is no connection
  std::array<std::byte, kAcknowledgement> word_{};
  std::size_t word_size_ = 0;
  MonotonicTime last_heard_{};
  MonotonicTime last_said_{};
  bool ended_ = false;  // its end is among the chunks
  bool lost_ = false;
};

}  // namespace vmigrate::peer
