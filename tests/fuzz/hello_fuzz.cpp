// The first frame of a connection, at either end, before anything of the peer's is believed.
#include "fuzz.hpp"
#include "peer/frame.hpp"

namespace vmigrate::fuzz {
namespace {

template <class Message>
ByteBuffer framed(const Message& message, std::uint32_t lane = 0) {
  ByteBuffer bytes;
  peer::append_frame(bytes, lane, false, as_byte_view(message.SerializeAsString()));
  return bytes;
}

template <class Message>
void check_again(const Message& message, Result<Message> (*parse)(ByteView)) {
  const auto again = parse(framed(message));
  require(again && again->SerializeAsString() == message.SerializeAsString(), "written again it is the same");
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  peer::wire::Opening hello;
  hello.mutable_hello()->set_protocol(1);
  hello.mutable_hello()->set_oldest_protocol(1);
  hello.mutable_hello()->set_software("0.1.0");
  hello.mutable_hello()->add_features("compression");
  hello.mutable_hello()->set_bulk_connections(4);
  peer::wire::Opening join;
  join.mutable_join()->set_session(std::string(32, 's'));
  join.mutable_join()->set_connection(1);
  join.mutable_join()->set_attempt(2);
  join.mutable_join()->set_received(3);
  join.mutable_join()->set_proof(std::string(32, 'p'));
  peer::wire::OpeningAnswer welcome;
  welcome.mutable_welcome()->set_protocol(1);
  welcome.mutable_welcome()->set_session(std::string(32, 's'));
  welcome.mutable_welcome()->set_secret(std::string(32, 's'));
  welcome.mutable_welcome()->set_bulk_connections(2);
  peer::wire::OpeningAnswer joined;
  joined.mutable_joined()->set_received(3);
  peer::wire::OpeningAnswer refused;
  refused.mutable_refusal()->set_code(3);
  refused.mutable_refusal()->set_message("no");
  return {framed(hello), framed(join), framed(welcome), framed(joined), framed(refused), framed(hello, 1)};
}

void check(ByteView input) {
  if (const auto opening = peer::parse_opening(input))
    check_again<peer::wire::Opening>(*opening, peer::parse_opening);
  const auto answer = peer::parse_answer(input);
  if (answer) {
    require(!answer->has_refusal(), "a refusal is an error");
    check_again<peer::wire::OpeningAnswer>(*answer, peer::parse_answer);
  } else {
    require(answer.error().code != ErrorCode{}, "an error has a code");
  }
}

}  // namespace vmigrate::fuzz
