#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "base/bytes.hpp"
#include "peer/frame.hpp"
#include "peer/limits.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// Puts messages together from the frames of their lanes, and counts what has not been dealt with: a peer
/// that sends more than it was granted is refused. Frames come in on one thread; dealt_with() is called from
/// any.
class IncomingLanes {
 public:
  struct Message {
    Lane lane;
    ByteBuffer bytes;
  };
  /// A frame of a message lane: the message that it completes, if it does. An error when it exceeds a limit.
  Result<std::optional<Message>> take(Frame frame);
  /// A message of so many bytes needs no memory any more. True when a grant has become due.
  bool dealt_with(Lane lane, std::size_t message_size);
  /// Appends the frame of a grant that is due. False when none is.
  bool append_grant(ByteBuffer& out);

 private:
  struct Account {
    std::size_t outstanding = 0;  // received and not granted anew
    std::size_t to_grant = 0;     // the part of it that has been dealt with
  };
  Result<> charge(Lane lane, std::size_t cost);

  std::map<Lane, ByteBuffer> incomplete_;
  std::mutex mutex_;
  std::map<Lane, Account> accounts_;
};

}  // namespace vmigrate::peer
