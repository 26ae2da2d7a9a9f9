#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>

#include "base/bytes.hpp"
#include "peer/limits.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// What is to be sent on the message lanes, and in which order: the lowest lane first, one frame at a time,
/// so that a long message of one lane does not keep a more important one waiting; and of each lane only as
/// much as the other end has room for. Thread-safe.
class OutgoingLanes {
 public:
  /// An error is final: the session cannot go on without this message.
  Result<> add(Lane lane, ByteBuffer message);
  /// The other end has dealt with so much.
  void grant(Lane lane, std::size_t cost);
  /// Appends the next frame. False when there is none, or none that the other end has room for.
  bool append_next(ByteBuffer& out);
  bool empty() const;

 private:
  struct Queue {
    std::deque<ByteBuffer> messages;
    std::size_t sent_of_first = 0;
    std::size_t room = 0;
  };
  /// How much of the lane's first message may be sent now.
  static std::optional<std::size_t> next_payload(const Queue& queue);

  mutable std::mutex mutex_;
  std::map<Lane, Queue> queues_{{Lane::control, {{}, 0, window(Lane::control)}},
                                {Lane::hypervisor_rpc, {{}, 0, window(Lane::hypervisor_rpc)}},
                                {Lane::ram_return, {{}, 0, window(Lane::ram_return)}}};
  std::size_t queued_ = 0;
  bool overfull_ = false;  // a message could not be taken
};

}  // namespace vmigrate::peer
