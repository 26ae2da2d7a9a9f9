#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/bounded_queue.hpp"
#include "peer/bulk_chunk.hpp"
#include "peer/connection.hpp"
#include "peer/limits.hpp"
#include "peer/reconnector.hpp"
#include "peer/unacknowledged.hpp"

namespace vmigrate::peer {

/// The sending end of one bulk connection: takes chunks from a queue that it shares with its sisters, and
/// keeps each until the other end has it.
class BulkOutlet {
 public:
  struct Terms {
    Reconnector& reconnector;
    BoundedQueue<ByteBuffer>& chunks;
    std::function<std::optional<std::uint64_t>()> total;  ///< bytes of the stream, once that is finished
    Patience patience;
    const std::atomic<std::size_t>& unsent;  ///< that may lie in the kernel; changes
  };
  BulkOutlet(int number, Terms terms) : number_(number), terms_(std::move(terms)) {}

  /// On a thread of its own, until the other end has everything that this connection was to carry.
  Result<> run();
  /// From any thread.
  void interrupt() { connection_.interrupt(); }
  std::chrono::nanoseconds waited() const { return connection_.waited(); }

 private:
  Result<> adopt(Result<Joined> joined);
  Result<> carry_all();
  Result<bool> carry_next();
  Result<> find_more();
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
  Unacknowledged chunks_;
  std::array<std::byte, kAcknowledgement> word_{};
  std::size_t word_size_ = 0;
  MonotonicTime last_heard_{};
  MonotonicTime last_said_{};
  bool ended_ = false;  // its end is among the chunks
  bool lost_ = false;
};

}  // namespace vmigrate::peer
