#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/units.hpp"
#include "peer/outage.hpp"
#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

/// A connection that has come, for the first time or again.
struct Joined {
  TlsStream stream;
  std::uint64_t received = 0;  ///< by the other end: frames or chunks, of what this side has sent on it
};

/// What a connection that does not come back is reported as. What the other end has sent may make no sense;
/// whatever else it was, a refusal to go on with a session that has gone say, the other end cannot be
/// reached.
inline ErrorCode code_of_loss(const Error& why) {
  return why.code == ErrorCode::refused ? ErrorCode::refused : ErrorCode::unreachable;
}

/// Brings the connections of one session back when they are lost, as long as it may. The control connection
/// is number 0, bulk connections count from 1; each has a thread that asks for it. Thread-safe.
class Reconnector {
 public:
  Reconnector() = default;
  virtual ~Reconnector() = default;
  Reconnector(const Reconnector&) = delete;
  Reconnector& operator=(const Reconnector&) = delete;

  /// How long a connection may be lost; none at first. Counts from the loss, or from now if that is later.
  void set_window(Milliseconds window);
  /// Called when connections are being tried again, and why; with nothing once the outage is over. From any
  /// of the session's threads, one at a time; must not block.
  void on_stall(std::function<void(const std::optional<Error>&)> stalled);
  /// Lets go of all who wait, now and later.
  void close();
  bool is_closed() const;

  /// A bulk connection for the first time.
  Result<Joined> connect(int connection);
  /// Blocks until it is back. `received`: by this side, on it. An error, `why` at first, when the window has
  /// passed, the session is closed, or the other end knows nothing of it any more.
  Result<Joined> reconnect(int connection, std::uint64_t received, const Error& why);
  /// If it should come back, though nothing is missed: nobody is told, and there is no window.
  Result<Joined> linger(int connection, std::uint64_t received);
  /// The other end has said something on it.
  void heard(int connection);
  /// It has carried all that it was to carry.
  void ended(int connection);
  /// It is given up.
  void gone(int connection);

 protected:
  /// One try, until the window of what was lost at `lost` has passed; of nothing lost: as long as makes
  /// sense. Only ErrorCode::not_allowed is final.
  virtual Result<Joined> join(int connection, std::uint64_t received, std::optional<MonotonicTime> lost) = 0;

  /// With the mutex held. Nothing once it is closed, the end of time for what was not lost.
  std::optional<MonotonicTime> deadline(std::optional<MonotonicTime> lost) const;
  mutable std::mutex mutex_;
  std::condition_variable changed_;

 private:
  bool may_wait(std::optional<MonotonicTime> lost);
  Result<Joined> join_again(int connection, std::uint64_t received, const Error& why);
  void lose(int connection, const Error& why);
  void came(int connection);
  void go_on_if(bool over);

  Milliseconds window_{0};
  MonotonicTime window_set_{};
  bool closed_ = false;
  Outage outage_;
  std::atomic<bool> waits_for_word_ = false;
  std::function<void(const std::optional<Error>&)> stalled_;
};

}  // namespace vmigrate::peer
