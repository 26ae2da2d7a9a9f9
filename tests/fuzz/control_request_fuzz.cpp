// The local control socket: a request is found in whatever pieces it arrives, and nothing is kept that was
// not sent.
#include "control/framing.hpp"
#include "fuzz.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::fuzz {
namespace {

std::vector<std::string> read_all(ByteView bytes, std::size_t piece) {
  std::vector<std::string> messages;
  control::FrameDecoder decoder;
  for (Input rest(bytes); !rest.empty();) {
    decoder.append(as_text(rest.take(piece)));
    for (;;) {
      auto message = decoder.next();
      if (!message) return messages;
      if (!*message) break;
      require((*message)->size() <= control::kLongestMessage, "a message is no longer than allowed");
      messages.push_back(std::move(**message));
    }
    require(decoder.waiting() <= bytes.size(), "what is kept was sent");
  }
  return messages;
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  control::Request start;
  start.mutable_start()->set_vm("web1");
  start.mutable_start()->set_host("hostb");
  control::Request list;
  list.mutable_list();
  Seed both;
  both.number(5, 1).raw(as_byte_view(control::to_frame(start).value()));
  both.raw(as_byte_view(control::to_frame(list).value()));
  return {both.bytes(), Seed().number(1, 1).raw(as_byte_view(control::to_frame(list).value())).bytes()};
}

void check(ByteView input) {
  Input in(input);
  const auto piece = in.number(1) + 1;
  const auto messages = read_all(in.rest(), in.rest().size() + 1);
  require(messages == read_all(in.rest(), piece), "the cuts make no difference");
  for (const auto& message : messages) {
    control::Request request;
    if (!request.ParseFromString(message)) continue;
    control::Request again;
    require(again.ParseFromString(request.SerializeAsString()), "what was read can be written");
  }
}

}  // namespace vmigrate::fuzz
