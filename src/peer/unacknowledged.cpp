#include "peer/unacknowledged.hpp"

#include <fmt/format.h>

namespace vmigrate::peer {

void Unacknowledged::add(ByteBuffer unit) {
  bytes_ += unit.size();
  units_.push_back(std::move(unit));
}

const ByteBuffer* Unacknowledged::next() const {
  return sent_ < units_.size() ? &units_[sent_] : nullptr;
}

void Unacknowledged::sent() {
  ++sent_;
}

Result<> Unacknowledged::acknowledge(std::uint64_t received) {
  if (received < acknowledged_ || received - acknowledged_ > sent_) {
    return fail(ErrorCode::refused, fmt::format("it says that it has received {} of {}, after {}", received,
                                                acknowledged_ + sent_, acknowledged_));
  }
  for (; acknowledged_ < received; ++acknowledged_, --sent_) {
    bytes_ -= units_.front().size();
    units_.pop_front();
  }
  return {};
}

Result<> Unacknowledged::go_back_to(std::uint64_t received) {
  if (auto taken = acknowledge(received); !taken) return taken;
  sent_ = 0;
  return {};
}

}  // namespace vmigrate::peer
