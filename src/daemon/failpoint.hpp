#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "migration/messages.hpp"

namespace vmigrate::daemon {

/// One point at which the process kills or stops itself, once: see Failpoints. Thread-safe.
class Failpoint {
 public:
  /// Errors: usage, with the right form.
  static Result<std::shared_ptr<Failpoint>> parse(const std::string& text);
  /// `byte`: which one of a lane `point` speaks of; 0: it is no lane.
  Failpoint(int signal, bool after, std::string point, std::uint64_t byte);

  /// Does it, around which this point may be.
  template <class Do>
  auto around(std::string_view point, Do&& what) {
    return around_if(byte_ == 0 && point == point_, std::forward<Do>(what));
  }
  /// Moves `size` bytes of a lane, behind those that `moved` counts.
  template <class Do>
  auto around_bytes(std::string_view point, std::uint64_t& moved, std::uint64_t size, Do&& what) {
    const bool here = point == point_ && moved < byte_ && byte_ <= moved + size;
    moved += size;
    return around_if(here, std::forward<Do>(what));
  }

 private:
  template <class Do>
  auto around_if(bool here, Do&& what) {
    if (here && !after_) reach();
    if constexpr (std::is_void_v<decltype(what())>) {
      what();
      if (here && after_) reach();
    } else {
      auto done = what();
      if (here && after_) reach();
      return done;
    }
  }
  void reach();

  const int signal_;
  const bool after_;
  const std::string point_;
  const std::uint64_t byte_;
  std::atomic<bool> reached_ = false;
};

/// As a failpoint calls it.
std::string_view name_of(const migration::ControlMessage& message);

}  // namespace vmigrate::daemon
