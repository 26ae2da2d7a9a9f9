#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"

/// libvirt's RPC messages as far as a migration needs them. The format is libvirt's own, specified in
/// src/rpc/virnetprotocol.x and src/remote/remote_protocol.x of its source: a 28-byte header of seven
/// big-endian words (the first is the length of it all), then XDR (RFC 4506). Everything here is
/// bounds-checked and does no I/O.
namespace vmigrate::hypervisor {

constexpr std::size_t kRpcHeaderSize = 28;
/// libvirt itself stops at 32 MiB; a Prepare with its XML and cookies is well below 1 MiB.
constexpr std::size_t kRpcMessageLimit = std::size_t{16} << 20;

constexpr std::uint32_t kRemoteProgram = 0x20008086;
constexpr std::uint32_t kKeepaliveProgram = 0x6b656570;
constexpr std::uint32_t kRpcVersion = 1;

namespace procedure {
constexpr std::int32_t open = 1;
constexpr std::int32_t close = 2;
constexpr std::int32_t supports_feature = 60;
constexpr std::int32_t authentication_list = 66;
constexpr std::int32_t prepare = 303;
constexpr std::int32_t finish = 306;
constexpr std::int32_t confirm = 307;
constexpr std::int32_t keepalive_ping = 1;
constexpr std::int32_t keepalive_pong = 2;
}  // namespace procedure

enum class RpcType : std::uint32_t { call = 0, reply = 1, message = 2 };
enum class RpcStatus : std::uint32_t { ok = 0, error = 1 };

struct RpcHeader {
  std::uint32_t program = kRemoteProgram;
  std::uint32_t version = kRpcVersion;
  std::int32_t procedure = 0;
  RpcType type = RpcType::call;
  std::uint32_t serial = 0;
  RpcStatus status = RpcStatus::ok;

  bool operator==(const RpcHeader&) const = default;
};

/// The header of a whole message. Refuses what is not one: wrong length, or a type or status that a migration
/// has no use for (streams, passed file descriptors).
Result<RpcHeader> parse_header(ByteView message);
/// The whole message's size by its first four bytes; refused when it cannot be one.
Result<std::size_t> parse_length(ByteView first_bytes);
ByteBuffer make_message(const RpcHeader& header, ByteView payload);
/// What follows the header. The message must have been parsed.
inline ByteView payload_of(ByteView message) {
  return message.subspan(kRpcHeaderSize);
}
/// Gives a message another serial number.
void set_serial(ByteBuffer& message, std::uint32_t serial);

/// One named parameter of libvirt's (virTypedParameter), of the two kinds that a migration here uses.
struct RpcParameter {
  std::string name;
  std::optional<std::string> text;  ///< nothing: a number, whose value does not matter
};

/// The arguments of Prepare and Finish.
struct MigrateCall {
  std::vector<RpcParameter> parameters;
  std::string cookie;  ///< libvirt's, XML with a trailing NUL
  std::uint32_t flags = 0;
  bool cancelled = false;  ///< Finish only

  const std::string* text(std::string_view name) const;
};
Result<MigrateCall> parse_prepare(ByteView payload);
Result<MigrateCall> parse_finish(ByteView payload);

/// Finish and Confirm end with `cancelled`: sets it in a whole, parsed message.
void set_cancelled(ByteBuffer& message, bool cancelled);

/// The migration URI that an answer to Prepare asks the source to use instead; nothing when it asks for none.
Result<std::optional<std::string>> parse_prepare_answer(ByteView payload);

/// The domain that an answer to Finish names.
struct FinishedDomain {
  std::string name;
  std::string uuid;  ///< canonical text
};
Result<FinishedDomain> parse_finish_answer(ByteView payload);
ByteBuffer make_finish_answer(const FinishedDomain& domain, std::uint32_t serial);

/// The answer to a keepalive ping.
ByteBuffer make_pong();

/// The message inside an error reply; "unknown error" when there is none that can be read.
std::string parse_error(ByteView payload);
/// A failure that libvirt's client takes for one of libvirt's own.
ByteBuffer make_error(std::int32_t procedure, std::uint32_t serial, const std::string& text);

}  // namespace vmigrate::hypervisor
