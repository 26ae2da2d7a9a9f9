#pragma once

#include <functional>

#include "peer/frame.hpp"
#include "peer/incoming_lanes.hpp"
#include "peer/outgoing_lanes.hpp"
#include "peer/unacknowledged.hpp"

namespace vmigrate::peer {

/// The message lanes of a session, whatever connection carries them: which bytes are to be said next, what
/// those that come in mean, and from where on all is said again on the connection that takes the place of a
/// lost one. OutgoingLanes says what goes out next, IncomingLanes what may come in.
///
/// send(), dealt_with() and is_all_taken() are for any thread; all else is for the one that has the
/// connection.
class ResumableLanes {
 public:
  using Deliver = std::function<void(Lane, ByteBuffer)>;

  /// An error is final: the session cannot go on without this message.
  Result<> send(Lane lane, ByteBuffer message) { return outgoing_.add(lane, std::move(message)); }
  /// A message of so many bytes needs no memory any more. True when that is to be said.
  bool dealt_with(Lane lane, std::size_t message_size) { return incoming_.dealt_with(lane, message_size); }
  /// Of what is to be sent nothing waits for room at the other end.
  bool is_all_taken() const { return outgoing_.empty(); }

  /// Bytes of the connection, in whatever pieces. An error when the other end does not keep to the protocol.
  Result<> hear(ByteView bytes, const Deliver& deliver);
  /// The next frame, which has to go out whole before sent(). Empty: there is nothing to say.
  ByteView next();
  /// A frame that says how much has come in, in the place of next().
  ByteView sign_of_life();
  void sent();

  /// How many frames have come in, of those that count: what the other end's go_on_behind() has to know.
  std::uint64_t received() const { return received_; }
  /// On another connection, as the other end has received so many of this side's frames. An error when it
  /// cannot.
  Result<> go_on_behind(std::uint64_t received);

 private:
  Result<> take(Frame frame, const Deliver& deliver);
  Result<> take_own(const Frame& frame);

  OutgoingLanes outgoing_;
  IncomingLanes incoming_;
  FrameReader reader_;
  std::uint64_t received_ = 0;
  std::size_t not_said_ = 0;  // bytes of them that the other end was not told of
  Unacknowledged unacknowledged_;
  ByteBuffer sign_of_life_;
  bool says_sign_of_life_ = false;
};

}  // namespace vmigrate::peer
