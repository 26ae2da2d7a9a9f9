#pragma once

#include <cstdint>
#include <deque>

#include "base/bytes.hpp"
#include "base/error.hpp"

namespace vmigrate::peer {

/// What is sent on a connection, frames or chunks, kept until the other end has said that it has come in: so
/// that a connection which takes the place of a lost one can go on where that ended.
class Unacknowledged {
 public:
  /// The last to be sent.
  void add(ByteBuffer unit);
  /// The next to be sent; null: there is none. It stays where it is until sent() and what is acknowledged.
  const ByteBuffer* next() const;
  void sent();
  /// The other end has so many, counted from the first there ever was. An error when it cannot.
  Result<> acknowledge(std::uint64_t received);
  /// The same, and everything behind that is to be sent again.
  Result<> go_back_to(std::uint64_t received);
  std::size_t bytes() const { return bytes_; }
  bool empty() const { return units_.empty(); }
  /// Those that are kept: `acknowledged()` were before them, `sent_of_them()` of them were sent.
  const std::deque<ByteBuffer>& units() const { return units_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::size_t sent_of_them() const { return sent_; }

 private:
  std::deque<ByteBuffer> units_;
  std::uint64_t acknowledged_ = 0;
  std::size_t sent_ = 0;  // of units_
  std::size_t bytes_ = 0;
};

}  // namespace vmigrate::peer
