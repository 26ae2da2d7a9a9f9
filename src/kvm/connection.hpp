#pragma once

#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "vmigrate/cancellation.hpp"

namespace vmigrate::kvm {

/// A stream socket that can be waited for without becoming deaf to a cancellation. Does not own the socket,
/// nor change its mode.
class Connection {
 public:
  Connection(int socket, const Cancellation& cancellation) : socket_(socket), cancellation_(cancellation) {}

  Result<> write(ByteView bytes);
  /// Waits for the first byte, at most until `deadline`. 0: the other end sends no more, or nothing came in
  /// time (only if there is a deadline).
  Result<std::size_t> read(std::span<std::byte> buffer, std::optional<MonotonicTime> deadline = {});
  /// Fills all of `buffer`.
  Result<> read_exactly(std::span<std::byte> buffer);
  /// What is there; 0 also if there is nothing yet.
  Result<std::size_t> read_available(std::span<std::byte> buffer);
  /// Fails only when cancelled.
  Result<> wait_until(MonotonicTime time);

 private:
  /// `events`: of poll(2). False: the deadline is over.
  Result<bool> wait(short events, std::optional<MonotonicTime> deadline);

  int socket_;
  const Cancellation& cancellation_;
};

}  // namespace vmigrate::kvm
