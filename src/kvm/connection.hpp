#pragma once

#include <functional>
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

  /// `look`: called while writing and waiting whenever something has come, or the other end has gone; takes
  /// what there is, and its failure ends the writing or waiting.
  void on_incoming(std::function<Result<>()> look) { incoming_ = std::move(look); }
  /// All writing ends at `deadline`: unreachable.
  void finish_by(MonotonicTime deadline) { deadline_ = deadline; }

  Result<> write(ByteView bytes);
  /// Waits for the first byte, at most until `deadline`. 0: the other end sends no more, or nothing came in
  /// time (only if there is a deadline).
  Result<std::size_t> read(std::span<std::byte> buffer, std::optional<MonotonicTime> deadline = {});
  /// Fills all of `buffer`.
  Result<> read_exactly(std::span<std::byte> buffer);
  /// What is there: nothing if nothing is yet, 0 if the other end sends no more.
  Result<std::optional<std::size_t>> read_available(std::span<std::byte> buffer);
  /// Fails only when cancelled, or for what comes meanwhile.
  Result<> wait_until(MonotonicTime time);

 private:
  /// `events`: of poll(2). Those that are there; 0: the deadline is over, whatever is there.
  Result<short> wait(short events, std::optional<MonotonicTime> deadline);
  Result<> wait_and_listen(short events, std::optional<MonotonicTime> deadline);

  int socket_;
  const Cancellation& cancellation_;
  std::function<Result<>()> incoming_;
  std::optional<MonotonicTime> deadline_;
};

}  // namespace vmigrate::kvm
