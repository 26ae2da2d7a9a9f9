#include "trust/pairing_messages.hpp"

#include "base/text.hpp"
#include "peer/frame.hpp"
#include "vmigrate/pairing.pb.h"

namespace vmigrate::trust {
namespace {

using pairing::wire::Message;

// Whoever says these has proved nothing yet; what it says ends up in messages and logs.
constexpr std::size_t kLongestName = 253;
constexpr std::size_t kLongestText = 1024;

tl::unexpected<Error> nonsense() {
  return fail(ErrorCode::refused, "it says something that does not belong to pairing");
}

Result<> write(peer::TlsStream& stream, const Message& message, MonotonicTime deadline) {
  return peer::write_payload(stream, as_byte_view(message.SerializeAsString()), deadline);
}

Error error_of(const pairing::wire::Refusal& refusal) {
  const bool known =
      refusal.code() >= 1 && refusal.code() <= static_cast<std::uint32_t>(ErrorCode::needs_attention);
  return {known ? static_cast<ErrorCode>(refusal.code()) : ErrorCode::refused,
          refusal.message().substr(0, kLongestText), refusal.hint().substr(0, kLongestText)};
}

Result<Message> read(peer::TlsStream& stream, MonotonicTime deadline) {
  const auto payload = peer::read_payload(stream, deadline);
  if (!payload) return fail(payload.error());
  Message message;
  if (!message.ParseFromArray(payload->data(), static_cast<int>(payload->size()))) return nonsense();
  return message;
}

/// Of the host that was dialled.
Result<Message> read_reply(peer::TlsStream& stream, MonotonicTime deadline) {
  auto message = read(stream, deadline);
  if (message && message->has_refusal()) return fail(error_of(message->refusal()));
  return message;
}

Result<ByteBuffer> confirmation_in(const Result<Message>& message) {
  if (!message) return fail(message.error());
  if (!message->has_proof()) return nonsense();
  return copy_of(as_byte_view(message->proof().confirmation()));
}

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= kLongestName &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
             std::string::npos;
}

ByteBuffer bytes_of(const std::string& text) {
  return copy_of(as_byte_view(text));
}

std::string text_of(ByteView bytes) {
  return std::string(as_text(bytes));
}

}  // namespace

Result<> write_pairing_begin(peer::TlsStream& stream, const PairingBegin& begin, MonotonicTime deadline) {
  Message message;
  message.mutable_begin()->set_name(begin.name);
  message.mutable_begin()->set_port(begin.port);
  message.mutable_begin()->set_share(text_of(begin.share));
  return write(stream, message, deadline);
}

Result<> write_pairing_answer(peer::TlsStream& stream, const PairingAnswer& answer, MonotonicTime deadline) {
  Message message;
  message.mutable_answer()->set_name(answer.name);
  message.mutable_answer()->set_share(text_of(answer.share));
  return write(stream, message, deadline);
}

Result<> write_pairing_proof(peer::TlsStream& stream, ByteView confirmation, MonotonicTime deadline) {
  Message message;
  message.mutable_proof()->set_confirmation(text_of(confirmation));
  return write(stream, message, deadline);
}

Result<> write_pairing_refusal(peer::TlsStream& stream, const Error& error, MonotonicTime deadline) {
  Message message;
  message.mutable_refusal()->set_code(static_cast<std::uint32_t>(error.code));
  message.mutable_refusal()->set_message(valid_utf8(error.message));
  message.mutable_refusal()->set_hint(valid_utf8(error.hint));
  return write(stream, message, deadline);
}

Result<PairingBegin> read_pairing_begin(peer::TlsStream& stream, MonotonicTime deadline) {
  const auto message = read(stream, deadline);
  if (!message) return fail(message.error());
  const auto& begin = message->begin();
  if (!message->has_begin() || !is_name(begin.name()) || begin.port() < 1 || begin.port() > UINT16_MAX)
    return nonsense();
  return PairingBegin{begin.name(), static_cast<std::uint16_t>(begin.port()), bytes_of(begin.share())};
}

Result<PairingAnswer> read_pairing_answer(peer::TlsStream& stream, MonotonicTime deadline) {
  const auto message = read_reply(stream, deadline);
  if (!message) return fail(message.error());
  if (!message->has_answer() || !is_name(message->answer().name())) return nonsense();
  return PairingAnswer{message->answer().name(), bytes_of(message->answer().share())};
}

Result<ByteBuffer> read_pairing_guess(peer::TlsStream& stream, MonotonicTime deadline) {
  return confirmation_in(read(stream, deadline));
}

Result<ByteBuffer> read_pairing_proof(peer::TlsStream& stream, MonotonicTime deadline) {
  return confirmation_in(read_reply(stream, deadline));
}

}  // namespace vmigrate::trust
