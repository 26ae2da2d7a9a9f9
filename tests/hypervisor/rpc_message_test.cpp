#include "hypervisor/rpc_message.hpp"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "hypervisor/xdr.hpp"

namespace vmigrate::hypervisor {
namespace {

ByteBuffer finish_arguments(bool cancelled) {
  XdrWriter writer;
  writer.number(2);
  writer.text("destination_name").number(7).text("web1");
  writer.text("bandwidth").number(4).number(0).number(100);
  writer.text("<qemu-migration/>").number(33).number(cancelled ? 1 : 0);
  return writer.bytes();
}

TEST(RpcMessage, HeaderSurvivesTheWay) {
  const RpcHeader header{.procedure = procedure::finish,
                         .type = RpcType::reply,
                         .serial = 0xfedcba98,
                         .status = RpcStatus::error};
  const ByteBuffer message = make_message(header, as_byte_view("abcd"));
  ASSERT_EQ(message.size(), kRpcHeaderSize + 4);
  EXPECT_EQ(parse_header(message).value(), header);
  EXPECT_EQ(as_text(payload_of(message)), "abcd");
}

TEST(RpcMessage, LengthIsCheckedBeforeMemoryIsTaken) {
  const auto length = [](std::uint32_t value) { return parse_length(XdrWriter().number(value).bytes()); };
  EXPECT_FALSE(length(0));
  EXPECT_FALSE(length(kRpcHeaderSize - 1));
  EXPECT_EQ(length(kRpcHeaderSize).value(), kRpcHeaderSize);
  EXPECT_EQ(length(kRpcMessageLimit).value(), kRpcMessageLimit);
  EXPECT_FALSE(length(kRpcMessageLimit + 1));
  EXPECT_FALSE(length(0xffffffff));
  EXPECT_FALSE(parse_length(ByteBuffer(3)));
}

TEST(RpcMessage, RefusesALengthThatIsNotItsOwn) {
  ByteBuffer message = make_message({}, {});
  message.push_back(std::byte{0});
  EXPECT_FALSE(parse_header(message));
}

TEST(RpcMessage, ReadsFinish) {
  const auto call = parse_finish(finish_arguments(true)).value();
  EXPECT_EQ(*call.text("destination_name"), "web1");
  EXPECT_EQ(call.text("bandwidth"), nullptr);
  EXPECT_EQ(call.cookie, "<qemu-migration/>");
  EXPECT_EQ(call.flags, 33U);
  EXPECT_TRUE(call.cancelled);
}

TEST(RpcMessage, RefusesEveryTruncationAndAddition) {
  const ByteBuffer whole = finish_arguments(false);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_finish(ByteView(whole).first(size))) << size;
  }
  ByteBuffer longer = whole;
  longer.resize(longer.size() + 4);
  EXPECT_FALSE(parse_finish(longer));
}

TEST(RpcMessage, RefusesHugeCounts) {
  EXPECT_FALSE(parse_prepare(XdrWriter().number(65).bytes()));
  EXPECT_FALSE(parse_prepare(XdrWriter().number(0xffffffff).bytes()));
  // A text that claims 4 GiB, and one that claims more than there is.
  EXPECT_FALSE(parse_prepare(XdrWriter().number(1).number(0xffffffff).bytes()));
  EXPECT_FALSE(parse_prepare(XdrWriter().number(1).text("x").number(7).number(4 << 20).bytes()));
  // A kind of value that nobody knows the size of.
  EXPECT_FALSE(parse_prepare(XdrWriter().number(1).text("x").number(8).number(0).bytes()));
}

TEST(RpcMessage, CancelledIsSetInPlace) {
  ByteBuffer message = make_message({.procedure = procedure::finish}, finish_arguments(false));
  set_cancelled(message, true);
  EXPECT_TRUE(parse_finish(payload_of(message))->cancelled);
  set_cancelled(message, false);
  EXPECT_FALSE(parse_finish(payload_of(message))->cancelled);
}

TEST(RpcMessage, AnswersCanBeReadAgain) {
  const FinishedDomain domain{"web1", "6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01"};
  const ByteBuffer answer = make_finish_answer(domain, 7);
  EXPECT_EQ(parse_header(answer)->serial, 7U);
  const auto read = parse_finish_answer(payload_of(answer)).value();
  EXPECT_EQ(read.name, domain.name);
  EXPECT_EQ(read.uuid, domain.uuid);
  EXPECT_EQ(parse_error(payload_of(make_error(procedure::finish, 7, "no memory"))), "no memory");
  EXPECT_EQ(parse_error({}), "unknown error");
}

RC_GTEST_PROP(RpcMessage, AnyBytesAreReadOrRefused, (const std::vector<std::uint8_t>& bytes)) {
  ByteBuffer buffer(bytes.size());
  std::transform(bytes.begin(), bytes.end(), buffer.begin(),
                 [](std::uint8_t byte) { return std::byte{byte}; });
  static_cast<void>(parse_header(buffer));
  static_cast<void>(parse_prepare(buffer));
  static_cast<void>(parse_finish(buffer));
  static_cast<void>(parse_prepare_answer(buffer));
  static_cast<void>(parse_finish_answer(buffer));
  static_cast<void>(parse_error(buffer));
}

RC_GTEST_PROP(RpcMessage, AnyChangedByteOfFinishIsReadOrRefused, (std::uint16_t at, std::uint8_t value)) {
  ByteBuffer bytes = finish_arguments(false);
  bytes[at % bytes.size()] = std::byte{value};
  const auto call = parse_finish(bytes);
  if (call) RC_ASSERT(call->parameters.size() <= 64U);
}

}  // namespace
}  // namespace vmigrate::hypervisor
