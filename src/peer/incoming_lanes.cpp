#include "peer/incoming_lanes.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace vmigrate::peer {

Result<std::optional<IncomingLanes::Message>> IncomingLanes::take(Frame frame) {
  if (!is_message_lane(frame.lane)) {
    return fail(ErrorCode::refused, fmt::format("it uses lane {}", frame.lane));
  }
  const Lane lane{frame.lane};
  if (auto charged = charge(lane, frame.payload.size() + kFrameCost); !charged) return fail(charged.error());
  auto& message = incomplete_[lane];
  if (message.size() + frame.payload.size() > longest_message(lane)) {
    return fail(ErrorCode::refused,
                fmt::format("it sent a message on lane {} that is longer than allowed", frame.lane));
  }
  if (message.empty())
    message = std::move(frame.payload);
  else
    message.insert(message.end(), frame.payload.begin(), frame.payload.end());
  if (!frame.more) return Message{lane, std::exchange(message, {})};
  // The frame itself has gone; its payload stays until the message is whole and dealt with.
  const std::lock_guard lock(mutex_);
  accounts_[lane].to_grant += kFrameCost;
  return std::nullopt;
}

Result<> IncomingLanes::charge(Lane lane, std::size_t cost) {
  const std::lock_guard lock(mutex_);
  auto& account = accounts_[lane];
  account.outstanding += cost;
  if (account.outstanding <= window(lane)) return {};
  return fail(ErrorCode::refused,
              fmt::format("it sent more on lane {} than it was granted", static_cast<std::uint32_t>(lane)));
}

bool IncomingLanes::dealt_with(Lane lane, std::size_t message_size) {
  const std::lock_guard lock(mutex_);
  auto& account = accounts_[lane];
  account.to_grant = std::min(account.outstanding, account.to_grant + message_size + kFrameCost);
  return account.to_grant >= kGrantStep;
}

bool IncomingLanes::append_grant(ByteBuffer& out) {
  const std::lock_guard lock(mutex_);
  for (auto& [lane, account] : accounts_) {
    if (account.to_grant < kGrantStep) continue;
    wire::Grant grant;
    grant.set_lane(static_cast<std::uint32_t>(lane));
    grant.set_cost(account.to_grant);
    append_frame(out, 0, false, as_byte_view(grant.SerializeAsString()));
    account.outstanding -= account.to_grant;
    account.to_grant = 0;
    return true;
  }
  return false;
}

}  // namespace vmigrate::peer
