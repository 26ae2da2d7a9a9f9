#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "peer/limits.hpp"
#include "peer/tls_stream.hpp"
#include "vmigrate/peer.pb.h"

namespace vmigrate::peer {

/// One frame, as docs/protocol.md draws it.
struct Frame {
  std::uint32_t lane = 0;
  bool more = false;
  std::uint64_t received = 0;  ///< in a sign of life
  ByteBuffer payload;

  /// All others are counted, and sent again when they were lost.
  bool is_sign_of_life() const { return lane == 0 && payload.empty(); }
};

/// Appends the frame's bytes. The payload is at most kLongestPayload.
void append_frame(ByteBuffer& out, std::uint32_t lane, bool more, ByteView payload);
/// The other end is told that so many frames have come in.
void append_sign_of_life(ByteBuffer& out, std::uint64_t received);

/// Puts frames together from whatever pieces arrive.
class FrameReader {
 public:
  void add(ByteView bytes);
  /// The next whole frame; nothing until it is whole. An error when it exceeds a limit or has no meaning.
  Result<std::optional<Frame>> next();

 private:
  ByteBuffer held_;
  std::size_t taken_ = 0;  // of what is held
};

/// What the frame of a greeting says. A refusal comes back as the error that it is.
Result<wire::Opening> parse_opening(ByteView frame);
Result<wire::OpeningAnswer> parse_answer(ByteView frame);

/// One frame of lane 0, on a connection that carries nothing else yet.
Result<> write_payload(TlsStream& stream, ByteView payload, MonotonicTime deadline);
Result<ByteBuffer> read_payload(TlsStream& stream, MonotonicTime deadline);

/// The greetings, on a connection that carries nothing else yet.
Result<> write_opening(TlsStream& stream, const wire::Opening& opening, MonotonicTime deadline);
Result<> write_answer(TlsStream& stream, const wire::OpeningAnswer& answer, MonotonicTime deadline);
Result<wire::Opening> read_opening(TlsStream& stream, MonotonicTime deadline);
Result<wire::OpeningAnswer> read_answer(TlsStream& stream, MonotonicTime deadline);

}  // namespace vmigrate::peer
