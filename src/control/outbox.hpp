#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "control/handler.hpp"

namespace vmigrate::control {

/// What waits to be written to one client. It joins the threads that answer with the one that writes, and
/// outlives the connection, so that a late answer finds it closed, not gone.
class Outbox {
 public:
  struct Frame {
    std::string bytes;
    bool last = false;
  };

  /// Intermediate responses that may wait; the oldest goes when one more comes.
  static constexpr std::size_t kCapacity = 16;

  /// `wake` tells the writer that there is something to take; called from any thread, must not block.
  explicit Outbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void put(Response response, bool last);
  std::optional<Frame> take();
  /// The last response has been put.
  bool finished() const;

  void on_close(std::function<void()> callback);
  /// The connection is over. Nothing is taken or woken any more.
  void close();

 private:
  mutable std::mutex mutex_;
  std::function<void()> wake_;
  std::function<void()> on_close_;
  std::deque<Frame> frames_;
  bool finished_ = false;
  bool closed_ = false;
};

/// A response that is an error.
Response error_response(const vmigrate::Error& error);

}  // namespace vmigrate::control
