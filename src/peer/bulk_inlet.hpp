#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "base/bytes.hpp"
#include "peer/bulk_chunk.hpp"
#include "peer/connection.hpp"
#include "peer/limits.hpp"
#include "peer/reconnector.hpp"

namespace vmigrate::peer {

/// The receiving end of one bulk connection.
class BulkInlet {
 public:
  struct Terms {
    Reconnector& reconnector;
    Patience patience;
    /// Waits for room for a chunk, at most until then. False: not yet.
    std::function<Result<bool>(std::uint64_t number, std::size_t size, MonotonicTime until)> make_room;
    /// What there was room for does not come.
    std::function<void(std::size_t size)> give_back;
    std::function<void(std::uint64_t number, ByteBuffer bytes)> take;
    std::function<Result<>(std::uint64_t total)> take_end;
  };
  BulkInlet(int number, Terms terms) : number_(number), terms_(std::move(terms)) {}

  /// On a thread of its own, until the other end is through, or the session.
  Result<> run();
  /// From any thread.
  void interrupt() { connection_.interrupt(); }

 private:
  Result<> receive_stream();
  Result<> adopt(Result<Joined> joined);
  Result<> receive_all();
  Result<> receive();
  Result<> receive_chunk(std::uint64_t number, std::size_t size);
  Result<> read(std::span<std::byte> bytes);
  Result<> wait_for_bytes();
  Result<> say_received();
  tl::unexpected<Error> lose(const Error& why);

  const int number_;
  const Terms terms_;
  Connection connection_;
  std::uint64_t received_ = 0;  // chunks
  std::size_t not_said_ = 0;    // bytes of them that the other end was not told of
  std::array<std::byte, kAcknowledgement> word_{};
  std::size_t word_sent_ = kAcknowledgement;
  bool flushing_ = false;
  bool heard_ = false;  // since it was last waited for
  MonotonicTime last_heard_{};
  MonotonicTime last_said_{};
  bool ended_ = false;
  bool lost_ = false;
};

}  // namespace vmigrate::peer
