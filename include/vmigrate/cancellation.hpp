#pragma once

#include <atomic>

#include "vmigrate/error.hpp"

namespace vmigrate {

/// Asks a long call to end, from any thread and at any time: before it has begun, while it waits, or after
/// it has ended, when it does nothing. One serves one call.
class Cancellation {
 public:
  /// Fails when the process has no file descriptor left.
  static Result<Cancellation> create();
  Cancellation(Cancellation&& other) noexcept;
  Cancellation& operator=(Cancellation&&) = delete;
  ~Cancellation();

  void cancel();
  bool is_cancelled() const { return cancelled_; }
  /// Becomes readable, and stays so, when cancel() is called: for poll(2).
  int file() const { return file_; }

 private:
  explicit Cancellation(int file) : file_(file) {}
  int file_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace vmigrate
