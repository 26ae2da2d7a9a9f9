#include "peer/outgoing_lanes.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "peer/frame.hpp"

namespace vmigrate::peer {

Result<> OutgoingLanes::add(Lane lane, ByteBuffer message) {
  const std::lock_guard lock(mutex_);
  if (message.size() > longest_message(lane)) {
    overfull_ = true;
    return fail(ErrorCode::refused, fmt::format("a message of {} bytes is longer than lane {} may carry",
                                                message.size(), static_cast<std::uint32_t>(lane)));
  }
  // Once one is missing nothing may follow it: a lane can end, but it cannot have a hole.
  overfull_ = overfull_ || queued_ + message.size() + kFrameCost > kMostQueued;
  if (overfull_) {
    return fail(ErrorCode::refused, "it does not take what it is sent");
  }
  queued_ += message.size() + kFrameCost;
  queues_.at(lane).messages.push_back(std::move(message));
  return {};
}

void OutgoingLanes::grant(Lane lane, std::size_t cost) {
  const std::lock_guard lock(mutex_);
  auto& room = queues_.at(lane).room;
  room = std::min(window(lane), room + std::min(window(lane), cost));
}

std::optional<std::size_t> OutgoingLanes::next_payload(const Queue& queue) {
  if (queue.messages.empty() || queue.room < kFrameCost) return std::nullopt;
  const std::size_t rest = queue.messages.front().size() - queue.sent_of_first;
  const std::size_t payload = std::min({rest, kLongestPayload, queue.room - kFrameCost});
  if (payload == 0 && rest > 0) return std::nullopt;
  return payload;
}

bool OutgoingLanes::append_next(ByteBuffer& out) {
  const std::lock_guard lock(mutex_);
  for (auto& [lane, queue] : queues_) {
    const auto payload = next_payload(queue);
    if (!payload) continue;
    const ByteView rest = ByteView(queue.messages.front()).subspan(queue.sent_of_first);
    const bool more = *payload < rest.size();
    append_frame(out, static_cast<std::uint32_t>(lane), more, rest.first(*payload));
    queue.room -= *payload + kFrameCost;
    queue.sent_of_first += *payload;
    queued_ -= *payload;
    if (more) return true;
    queue.messages.pop_front();
    queue.sent_of_first = 0;
    queued_ -= kFrameCost;
    return true;
  }
  return false;
}

bool OutgoingLanes::empty() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(queues_.begin(), queues_.end(),
                     [](const auto& entry) { return entry.second.messages.empty(); });
}

}  // namespace vmigrate::peer
