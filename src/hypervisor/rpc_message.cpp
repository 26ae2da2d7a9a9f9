#include "hypervisor/rpc_message.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <libvirt/virterror.h>

#include "base/identifiers.hpp"
#include "hypervisor/xdr.hpp"

namespace vmigrate::hypervisor {
namespace {

// libvirt's limits (remote_protocol.x): REMOTE_STRING_MAX and REMOTE_MIGRATE_COOKIE_MAX,
// REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX, and VIR_TYPED_PARAM_FIELD_LENGTH of its API.
constexpr std::size_t kTextLimit = std::size_t{4} << 20;
constexpr std::size_t kParameterLimit = 64;
constexpr std::size_t kNameLimit = 80;
constexpr std::size_t kUuidSize = 16;
constexpr std::size_t kSerialOffset = 20;

tl::unexpected<Error> not_a_message(const std::string& why) {
  return fail(ErrorCode::not_allowed, "not a message of libvirt's that belongs here: " + why);
}

// The kinds of virTypedParameter that are numbers, and their size on the wire.
std::optional<std::size_t> size_of_number(std::uint32_t kind) {
  switch (kind) {
    case 1:
    case 2:
    case 6: return 4;
    case 3:
    case 4:
    case 5: return 8;
    default: return std::nullopt;
  }
}

Result<RpcParameter> parse_parameter(XdrReader& reader) {
  constexpr std::uint32_t text_kind = 7;
  RpcParameter parameter;
  parameter.name = reader.text(kNameLimit);
  const std::uint32_t kind = reader.number();
  if (kind == text_kind) {
    parameter.text = reader.text(kTextLimit);
  } else if (const auto size = size_of_number(kind)) {
    reader.skip(*size);
  } else {
    return not_a_message(fmt::format("a parameter of the unknown kind {}", kind));
  }
  if (!reader.good()) return not_a_message("a parameter does not fit into it");
  return parameter;
}

Result<MigrateCall> parse_migrate_call(ByteView payload, bool is_finish) {
  XdrReader reader(payload);
  MigrateCall call;
  const std::uint32_t count = reader.number();
  if (count > kParameterLimit) return not_a_message(fmt::format("{} parameters", count));
  for (std::uint32_t i = 0; i < count; ++i) {
    auto parameter = parse_parameter(reader);
    if (!parameter) return fail(parameter.error());
    call.parameters.push_back(std::move(*parameter));
  }
  call.cookie = reader.text(kTextLimit);
  call.flags = reader.number();
  if (is_finish) call.cancelled = reader.number() != 0;
  if (!reader.at_end()) return not_a_message("its arguments do not add up to its length");
  return call;
}

}  // namespace

Result<std::size_t> parse_length(ByteView first_bytes) {
  XdrReader reader(first_bytes);
  const std::size_t length = reader.number();
  if (!reader.good() || length < kRpcHeaderSize || length > kRpcMessageLimit) {
    return not_a_message(fmt::format("a length of {} bytes", length));
  }
  return length;
}

Result<RpcHeader> parse_header(ByteView message) {
  const auto length = parse_length(message);
  if (!length) return fail(length.error());
  if (*length != message.size()) return not_a_message("it is longer or shorter than it says");
  XdrReader reader(message.subspan(4));
  RpcHeader header;
  header.program = reader.number();
  header.version = reader.number();
  header.procedure = static_cast<std::int32_t>(reader.number());
  const std::uint32_t type = reader.number();
  header.serial = reader.number();
  const std::uint32_t status = reader.number();
  if (type > 2 || status > 1) return not_a_message(fmt::format("type {}, status {}", type, status));
  header.type = static_cast<RpcType>(type);
  header.status = static_cast<RpcStatus>(status);
  return header;
}

ByteBuffer make_message(const RpcHeader& header, ByteView payload) {
  XdrWriter writer;
  writer.number(static_cast<std::uint32_t>(kRpcHeaderSize + payload.size()));
  writer.number(header.program).number(header.version).number(static_cast<std::uint32_t>(header.procedure));
  writer.number(static_cast<std::uint32_t>(header.type)).number(header.serial);
  writer.number(static_cast<std::uint32_t>(header.status)).fixed(payload);
  return writer.bytes();
}

void set_serial(ByteBuffer& message, std::uint32_t serial) {
  const ByteBuffer bytes = XdrWriter().number(serial).bytes();
  std::copy(bytes.begin(), bytes.end(), message.begin() + kSerialOffset);
}

const std::string* MigrateCall::text(std::string_view name) const {
  for (const RpcParameter& parameter : parameters) {
    if (parameter.name == name && parameter.text) return &*parameter.text;
  }
  return nullptr;
}

Result<MigrateCall> parse_prepare(ByteView payload) {
  return parse_migrate_call(payload, false);
}

Result<MigrateCall> parse_finish(ByteView payload) {
  return parse_migrate_call(payload, true);
}

void set_cancelled(ByteBuffer& message, bool cancelled) {
  const ByteBuffer bytes = XdrWriter().number(cancelled ? 1 : 0).bytes();
  std::copy(bytes.begin(), bytes.end(), message.end() - 4);
}

Result<std::optional<std::string>> parse_prepare_answer(ByteView payload) {
  XdrReader reader(payload);
  reader.counted(kTextLimit);
  auto uri = reader.optional_text(kTextLimit);
  if (!reader.at_end()) return not_a_message("an answer to Prepare of the wrong length");
  return uri;
}

Result<FinishedDomain> parse_finish_answer(ByteView payload) {
  XdrReader reader(payload);
  FinishedDomain domain;
  domain.name = reader.text(kTextLimit);
  const ByteView uuid = reader.fixed(kUuidSize);
  reader.number();  // the domain's number on that host
  reader.counted(kTextLimit);
  if (!reader.at_end()) return not_a_message("an answer to Finish of the wrong length");
  for (std::size_t i = 0; i < kUuidSize; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) domain.uuid += '-';
    domain.uuid += fmt::format("{:02x}", std::to_integer<unsigned>(uuid[i]));
  }
  return domain;
}

ByteBuffer make_finish_answer(const FinishedDomain& domain, std::uint32_t serial) {
  ByteBuffer uuid;
  std::string digits;
  for (const char character : domain.uuid) {
    if (character != '-') digits += character;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    uuid.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  XdrWriter writer;
  writer.text(domain.name).fixed(uuid).number(1).text("");
  RpcHeader header{.procedure = procedure::finish, .type = RpcType::reply, .serial = serial};
  return make_message(header, writer.bytes());
}

ByteBuffer make_pong() {
  return make_message(
      {.program = kKeepaliveProgram, .procedure = procedure::keepalive_pong, .type = RpcType::message}, {});
}

std::string parse_error(ByteView payload) {
  XdrReader reader(payload);
  reader.number();  // code
  reader.number();  // part of libvirt
  const auto text = reader.optional_text(kTextLimit);
  return reader.good() && text && !text->empty() ? *text : "unknown error";
}

ByteBuffer make_error(std::int32_t procedure, std::uint32_t serial, const std::string& text) {
  XdrWriter writer;
  writer.number(VIR_ERR_OPERATION_FAILED).number(VIR_FROM_RPC).number(1).text(text).number(VIR_ERR_ERROR);
  writer.number(0);                      // no domain
  writer.number(1).text(text);           // str1: what the message is made of
  writer.number(0).number(0);            // no str2, no str3
  writer.number(0).number(0).number(0);  // int1, int2, no network
  RpcHeader header{
      .procedure = procedure, .type = RpcType::reply, .serial = serial, .status = RpcStatus::error};
  return make_message(header, writer.bytes());
}

}  // namespace vmigrate::hypervisor
