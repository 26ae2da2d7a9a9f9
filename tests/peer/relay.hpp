#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>

#include "base/bytes.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::peer {

/// Stands between two daemons and passes on what they say until told otherwise: a network that a test can
/// break. Connections are counted from 0, in the order in which they came.
class Relay {
 public:
  enum class Direction { to_target, from_target };

  /// Listens on 127.0.0.1; everything goes to `target_port` there.
  explicit Relay(std::uint16_t target_port);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint16_t port() const { return port_; }
  /// Passes nothing on in this direction, as when a cable is pulled; no end is told.
  void stall(Direction direction);
  void stall();
  /// One connection; waits until it is there, as all do that name one.
  void stall(std::size_t connection);
  /// Goes on where it was stalled; nothing was lost.
  void resume();
  /// Resets one connection.
  void cut(std::size_t connection);
  /// Resets every connection that there is; those that come later pass.
  void cut_all();
  /// Resets one of those that live, which one `choice` says. False when there is none.
  bool cut_one(std::uint32_t choice);
  /// Changes a bit of what passes next on this connection.
  void corrupt(std::size_t connection, Direction direction);
  /// Resets all connections once so many bytes have gone to the target on this one, which may be yet to come.
  void cut_all_after(std::size_t connection, std::uint64_t bytes);

  std::size_t connections() const;
  /// Waits until so many bytes have passed on a connection since it began, or none will any more.
  void await_passed(std::size_t connection, Direction direction, std::uint64_t bytes);
  std::uint64_t passed(std::size_t connection, Direction direction) const;

 private:
  struct Pair {
    FileDescriptor near;
    FileDescriptor far;
    std::uint64_t passed[2] = {0, 0};
    bool over[2] = {false, false};
    bool corrupt[2] = {false, false};
    bool stalled = false;
    std::thread threads[2];
  };
  void run();
  void pump(Pair& pair, Direction direction);
  /// With the lock held.
  bool may_pass(const Pair& pair, Direction direction) const;
  void count(Pair& pair, Direction direction, std::size_t bytes);
  Pair& pair_at(std::size_t index);
  Pair& await_pair(std::unique_lock<std::mutex>& lock, std::size_t index);
  static void reset(Pair& pair);

  const std::uint16_t target_port_;
  const FileDescriptor listener_;
  const std::uint16_t port_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Pair> pairs_;
  std::size_t limited_ = SIZE_MAX;
  std::uint64_t limit_ = UINT64_MAX;
  bool stalled_[2] = {false, false};
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vmigrate::peer
