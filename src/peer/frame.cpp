#include "peer/frame.hpp"

#include <array>

namespace vmigrate::peer {
namespace {

constexpr std::size_t kLengths = 8;

void append_number(ByteBuffer& out, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

std::size_t number_at(ByteView bytes, std::size_t offset) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::size_t>(bytes[offset + i]);
  return value;
}

tl::unexpected<Error> broken(const char* what) {
  return fail(ErrorCode::refused, std::string("the peer sent ") + what);
}

void append(ByteBuffer& out, const wire::FrameHeader& header, ByteView payload) {
  const std::string bytes = header.SerializeAsString();
  append_number(out, bytes.size());
  append_number(out, payload.size());
  const auto view = as_byte_view(bytes);
  out.insert(out.end(), view.begin(), view.end());
  out.insert(out.end(), payload.begin(), payload.end());
}

Result<> check_lengths(std::size_t header, std::size_t payload) {
  if (header > kLongestHeader || payload > kLongestPayload)
    return broken("a frame that is longer than allowed");
  return {};
}

Result<ByteBuffer> read_frame(TlsStream& stream, MonotonicTime deadline) {
  ByteBuffer frame(kLengths);
  if (auto read = stream.read_exactly(frame, deadline); !read) return fail(read.error());
  const std::size_t header_size = number_at(frame, 0);
  const std::size_t payload_size = number_at(frame, 4);
  if (auto checked = check_lengths(header_size, payload_size); !checked) return fail(checked.error());
  frame.resize(kLengths + header_size + payload_size);
  auto read = stream.read_exactly(std::span(frame).subspan(kLengths), deadline);
  if (!read) return fail(read.error());
  return frame;
}

template <class Message>
Result<> write_message(TlsStream& stream, const Message& message, MonotonicTime deadline) {
  return write_payload(stream, as_byte_view(message.SerializeAsString()), deadline);
}

Result<ByteBuffer> payload_of(ByteView bytes) {
  FrameReader reader;
  reader.add(bytes);
  auto frame = reader.next();
  if (!frame) return fail(frame.error());
  if (!*frame || (*frame)->lane != 0) return broken("something else than a greeting");
  return std::move((*frame)->payload);
}

template <class Message>
Result<Message> parse_message(ByteView bytes) {
  const auto payload = payload_of(bytes);
  if (!payload) return fail(payload.error());
  Message message;
  if (!message.ParseFromArray(payload->data(), static_cast<int>(payload->size())))
    return broken("something else than a greeting");
  return message;
}

}  // namespace

void append_frame(ByteBuffer& out, std::uint32_t lane, bool more, ByteView payload) {
  wire::FrameHeader header;
  header.set_lane(lane);
  header.set_more(more);
  append(out, header, payload);
}

void append_sign_of_life(ByteBuffer& out, std::uint64_t received) {
  wire::FrameHeader header;
  header.set_received(received);
  append(out, header, {});
}

void FrameReader::add(ByteView bytes) {
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(taken_));
  taken_ = 0;
  held_.insert(held_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Frame>> FrameReader::next() {
  const ByteView held = ByteView(held_).subspan(taken_);
  if (held.size() < kLengths) return std::nullopt;
  const std::size_t header_size = number_at(held, 0);
  const std::size_t payload_size = number_at(held, 4);
  if (auto checked = check_lengths(header_size, payload_size); !checked) return fail(checked.error());
  const std::size_t size = kLengths + header_size + payload_size;
  if (held.size() < size) return std::nullopt;
  wire::FrameHeader header;
  if (!header.ParseFromArray(held.data() + kLengths, static_cast<int>(header_size))) {
    return broken("a frame whose header cannot be read");
  }
  taken_ += size;
  return Frame{header.lane(), header.more(), header.received(),
               copy_of(held.subspan(kLengths + header_size, payload_size))};
}

Result<> write_payload(TlsStream& stream, ByteView payload, MonotonicTime deadline) {
  ByteBuffer bytes;
  append_frame(bytes, 0, false, payload);
  return stream.write_all(bytes, deadline);
}

Result<ByteBuffer> read_payload(TlsStream& stream, MonotonicTime deadline) {
  const auto frame = read_frame(stream, deadline);
  if (!frame) return fail(frame.error());
  return payload_of(*frame);
}

Result<> write_opening(TlsStream& stream, const wire::Opening& opening, MonotonicTime deadline) {
  return write_message(stream, opening, deadline);
}

Result<> write_answer(TlsStream& stream, const wire::OpeningAnswer& answer, MonotonicTime deadline) {
  return write_message(stream, answer, deadline);
}

Result<wire::Opening> parse_opening(ByteView frame) {
  return parse_message<wire::Opening>(frame);
}

Result<wire::OpeningAnswer> parse_answer(ByteView frame) {
  auto answer = parse_message<wire::OpeningAnswer>(frame);
  if (!answer || !answer->has_refusal()) return answer;
  const auto& refusal = answer->refusal();
  const bool known =
      refusal.code() >= 1 && refusal.code() <= static_cast<std::uint32_t>(ErrorCode::needs_attention);
  return fail(known ? static_cast<ErrorCode>(refusal.code()) : ErrorCode::refused, refusal.message(),
              refusal.hint());
}

Result<wire::Opening> read_opening(TlsStream& stream, MonotonicTime deadline) {
  const auto frame = read_frame(stream, deadline);
  if (!frame) return fail(frame.error());
  return parse_opening(*frame);
}

Result<wire::OpeningAnswer> read_answer(TlsStream& stream, MonotonicTime deadline) {
  const auto frame = read_frame(stream, deadline);
  if (!frame) return fail(frame.error());
  return parse_answer(*frame);
}

}  // namespace vmigrate::peer
