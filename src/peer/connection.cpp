#include "peer/connection.hpp"

#include "peer/tcp.hpp"

namespace vmigrate::peer {

void Connection::replace(TlsStream stream) {
  const std::lock_guard lock(mutex_);
  if (stream_) waited_before_ += stream_->waited();
  stream_.emplace(std::move(stream));
}

void Connection::interrupt() {
  const std::lock_guard lock(mutex_);
  if (stream_) stream_->interrupt();
}

std::chrono::nanoseconds Connection::waited() const {
  const std::lock_guard lock(mutex_);
  return waited_before_ + (stream_ ? stream_->waited() : std::chrono::nanoseconds());
}

std::optional<std::size_t> Connection::unsent() const {
  const std::lock_guard lock(mutex_);
  return stream_ ? peer::unsent(stream_->descriptor()) : std::nullopt;
}

std::chrono::nanoseconds Connection::round_trip() const {
  const std::lock_guard lock(mutex_);
  return stream_ ? measured(stream_->descriptor()).round_trip : std::chrono::nanoseconds();
}

}  // namespace vmigrate::peer
