#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/file_descriptor.hpp"
#include "peer/endpoint.hpp"

namespace vmigrate::peer {

/// Connections that have not yet proved who they are, each on a short-lived thread of its own; only so many
/// at a time, so that strangers cost little. Whoever comes when all places are taken gets that of the oldest
/// connection from the address that holds most of them: a flood takes its own places, not those of others. If
/// none holds many, it comes from everywhere; then it gets that of the oldest of all. One that is ended in
/// this way at the very moment at which it has become part of a session is dialled again.
class Greetings {
 public:
  /// Returns when the connection has become part of a session, or nothing: then with why. Must end soon when
  /// the connection is shut down.
  using Greet = std::function<std::optional<TurnedAway>(FileDescriptor connection)>;
  using Tell = std::function<void(const TurnedAway&)>;

  /// A session that begins to send brings several at once, and several sessions may.
  static constexpr std::size_t kMost = 128;

  Greetings(Greet greet, Tell tell) : greet_(std::move(greet)), tell_(std::move(tell)) {}
  /// Waits for all of them.
  ~Greetings();
  Greetings(const Greetings&) = delete;
  Greetings& operator=(const Greetings&) = delete;

  void begin(FileDescriptor connection);
  /// Clears up after those that are through.
  void reap();

 private:
  struct Greeting {
    std::string address;          // without the port
    FileDescriptor connection{};  // the same one: to shut it down
    std::thread thread{};
    bool displaced = false;
    bool finished = false;
  };
  bool make_room();
  void run(Greeting& greeting, FileDescriptor connection);

  const Greet greet_;
  const Tell tell_;
  std::mutex mutex_;
  std::list<Greeting> greetings_;  // the oldest first
};

}  // namespace vmigrate::peer
