#include "control/outbox.hpp"

#include <utility>

#include "base/text.hpp"
#include "control/framing.hpp"

namespace vmigrate::control {

void Outbox::put(Response response, bool last) {
  response.set_last(last);
  auto bytes = to_frame(response);
  if (!bytes) {
    auto refusal = error_response(bytes.error().in("the answer cannot be sent"));
    refusal.set_last(last);
    bytes = to_frame(refusal);
  }
  const std::lock_guard lock(mutex_);
  if (closed_ || finished_ || !bytes) return;
  // What is already taken for writing is not here any more, so no message is ever cut in half.
  if (frames_.size() >= kCapacity) frames_.pop_front();
  frames_.push_back({std::move(*bytes), last});
  finished_ = last;
  wake_();
}

std::optional<Outbox::Frame> Outbox::take() {
  const std::lock_guard lock(mutex_);
  if (frames_.empty()) return std::nullopt;
  Frame frame = std::move(frames_.front());
  frames_.pop_front();
  return frame;
}

bool Outbox::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

void Outbox::on_close(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      on_close_ = std::move(callback);
      return;
    }
  }
  callback();
}

void Outbox::close() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    frames_.clear();
    wake_ = nullptr;
    callback = std::exchange(on_close_, nullptr);
  }
  if (callback) callback();
}

Response error_response(const vmigrate::Error& error) {
  Response response;
  response.mutable_error()->set_code(static_cast<std::uint32_t>(error.code));
  response.mutable_error()->set_message(valid_utf8(error.message));
  response.mutable_error()->set_hint(valid_utf8(error.hint));
  return response;
}

}  // namespace vmigrate::control
