#include "peer/resumable_lanes.hpp"

#include <utility>

namespace vmigrate::peer {

Result<> ResumableLanes::hear(ByteView bytes, const Deliver& deliver) {
  reader_.add(bytes);
  for (;;) {
    auto frame = reader_.next();
    if (!frame) return fail(frame.error());
    if (!*frame) return {};
    if (auto taken = take(std::move(**frame), deliver); !taken) return taken;
  }
}

Result<> ResumableLanes::take(Frame frame, const Deliver& deliver) {
  if (!frame.is_sign_of_life()) {
    ++received_;
    not_said_ += frame.payload.size() + kFrameCost;
  }
  if (frame.lane == 0) return take_own(frame);
  auto message = incoming_.take(std::move(frame));
  if (!message) return fail(message.error());
  if (*message) deliver((*message)->lane, std::move((*message)->bytes));
  return {};
}

/// A frame of the session's own business: a sign of life, or a grant.
Result<> ResumableLanes::take_own(const Frame& frame) {
  if (frame.is_sign_of_life()) return unacknowledged_.acknowledge(frame.received);
  wire::Grant grant;
  if (!grant.ParseFromArray(frame.payload.data(), static_cast<int>(frame.payload.size())) ||
      !is_message_lane(grant.lane())) {
    return fail(ErrorCode::refused, "it sent a grant that has no meaning");
  }
  outgoing_.grant(Lane{grant.lane()}, grant.cost());
  return {};
}

ByteView ResumableLanes::next() {
  if (not_said_ >= kAcknowledgeStep) return sign_of_life();
  if (unacknowledged_.next() == nullptr && unacknowledged_.bytes() < kMostUnacknowledgedMessages) {
    ByteBuffer frame;
    if (incoming_.append_grant(frame) || outgoing_.append_next(frame)) unacknowledged_.add(std::move(frame));
  }
  says_sign_of_life_ = false;
  const auto* frame = unacknowledged_.next();
  return frame == nullptr ? ByteView() : ByteView(*frame);
}

ByteView ResumableLanes::sign_of_life() {
  sign_of_life_.clear();
  append_sign_of_life(sign_of_life_, received_);
  not_said_ = 0;
  says_sign_of_life_ = true;
  return sign_of_life_;
}

void ResumableLanes::sent() {
  if (!std::exchange(says_sign_of_life_, false)) unacknowledged_.sent();
}

Result<> ResumableLanes::go_on_behind(std::uint64_t received) {
  reader_ = {};
  not_said_ = 0;
  return unacknowledged_.go_back_to(received);
}

}  // namespace vmigrate::peer
