// libvirt's RPC at both gates: whatever the peer sends, only the calls of this one migration get to libvirtd,
// never one that would start the vCPUs or be about another VM.
#include <libvirt/libvirt.h>

#include "fuzz.hpp"
#include "hypervisor/gate.hpp"
#include "hypervisor/xdr.hpp"

namespace vmigrate::fuzz {
namespace {

using namespace hypervisor;

const std::string kUuid = "6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01";
const std::string kUri = "unix:///run/vmigrate/m/ram.sock";
const std::string kDefinition = "<domain type='kvm'><name>web1</name><uuid>" + kUuid +
                                "</uuid><devices><emulator>/usr/bin/qemu</emulator></devices></domain>";
const std::string kCookie =
    "<qemu-migration><name>web1</name><uuid>" + kUuid + "</uuid>" + kDefinition + "</qemu-migration>" + '\0';

enum Step : std::uint8_t { peer_calls, libvirtd_says, finish_comes, client_says, peer_answers, finish_ends };
constexpr std::uint32_t kSteps = 6;

/// A message that the input describes, or one that it has written whole.
ByteBuffer message_of(Input& in) {
  const auto form = in.number(1);
  if (form == 0) return copy_of(in.piece());
  constexpr std::array<std::int32_t, 8> procedures{
      procedure::open,    procedure::close,  procedure::supports_feature, procedure::authentication_list,
      procedure::prepare, procedure::finish, procedure::confirm,          procedure::keepalive_ping};
  const RpcHeader header{.program = form == 1 ? kRemoteProgram : kKeepaliveProgram,
                         .procedure = procedures[in.number(1) % procedures.size()],
                         .type = static_cast<RpcType>(in.number(1) % 3),
                         .serial = in.number(1),
                         .status = static_cast<RpcStatus>(in.number(1) % 2)};
  return make_message(header, in.piece());
}

void check_admitted(ByteView message) {
  const auto header = parse_header(message);
  require(header && header->program == kRemoteProgram && header->type == RpcType::call, "only calls get in");
  const auto allowed = {procedure::open, procedure::supports_feature, procedure::authentication_list,
                        procedure::prepare};
  require(std::ranges::find(allowed, header->procedure) != allowed.end(), "only a migration's calls get in");
  if (header->procedure != procedure::prepare) return;
  const auto call = parse_prepare(payload_of(message));
  require(call && (call->flags & VIR_MIGRATE_PAUSED) != 0, "libvirt never starts the vCPUs");
  require(call->text(VIR_MIGRATE_PARAM_URI) != nullptr && *call->text(VIR_MIGRATE_PARAM_URI) == kUri,
          "memory comes to this migration's socket");
}

void check_finish(DestinationGate& gate, bool cancelled, ByteBuffer message) {
  const auto admitted = gate.admit_finish({cancelled, std::move(message)});
  if (!admitted) return;
  const auto call = parse_finish(payload_of(*admitted));
  require(call && call->cancelled == cancelled, "the handover's word counts");
  require((call->flags & VIR_MIGRATE_PAUSED) != 0, "libvirt never starts the vCPUs");
}

void check_finish_answer(SourceGate& gate, bool is_loaded, ByteBuffer message) {
  const auto answer = gate.finish_answer({is_loaded, std::move(message), "no"});
  if (!answer) return;
  const auto header = parse_header(*answer);
  require(header && header->procedure == procedure::finish, "Finish is answered");
  require((header->status == RpcStatus::ok) == is_loaded, "the handover's word counts");
}

ByteBuffer arguments(bool is_finish, std::uint32_t flags) {
  XdrWriter writer;
  const auto parameters = {std::pair{VIR_MIGRATE_PARAM_URI, kUri},
                           {VIR_MIGRATE_PARAM_DEST_NAME, "web1"},
                           {VIR_MIGRATE_PARAM_DEST_XML, kDefinition}};
  writer.number(static_cast<std::uint32_t>(parameters.size()));
  for (const auto& [name, value] : parameters) writer.text(name).number(VIR_TYPED_PARAM_STRING).text(value);
  writer.text(kCookie).number(flags);
  if (is_finish) writer.number(0);
  return writer.bytes();
}

ByteBuffer prepare_answer() {
  XdrWriter writer;
  writer.text(kCookie).number(1).text(kUri);
  return writer.bytes();
}

Seed& described(Seed& seed, Step step, int which, RpcType type, ByteView payload) {
  return seed.number(step, 1)
      .number(1, 1)
      .number(static_cast<std::uint64_t>(which), 1)
      .number(static_cast<std::uint64_t>(type), 1)
      .number(7, 1)
      .number(0, 1)
      .piece(payload);
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  constexpr std::uint32_t flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED | VIR_MIGRATE_PERSIST_DEST;
  Seed there;
  described(there, peer_calls, 0, RpcType::call, {});
  described(there, libvirtd_says, 0, RpcType::reply, {});
  described(there, peer_calls, 4, RpcType::call, arguments(false, flags));
  described(there, libvirtd_says, 4, RpcType::reply, prepare_answer());
  described(there, finish_comes, 5, RpcType::call, arguments(true, flags));
  Seed here;
  described(here, client_says, 4, RpcType::call, arguments(false, flags));
  described(here, peer_answers, 4, RpcType::reply, prepare_answer());
  described(here, client_says, 5, RpcType::call, arguments(true, flags));
  described(here, finish_ends, 5, RpcType::reply, payload_of(make_finish_answer({"web1", kUuid}, 7)));
  const auto whole = make_message({.procedure = procedure::prepare, .serial = 3}, arguments(false, flags));
  const auto error = make_error(procedure::prepare, 3, "no");
  return {there.bytes(), here.bytes(), Seed().number(peer_calls, 1).number(0, 1).piece(whole).bytes(),
          Seed().number(peer_answers, 1).number(0, 1).piece(error).bytes()};
}

void check(ByteView input) {
  const GateScope scope{VmId::parse(kUuid).value(), "web1", "/usr/bin/qemu", kUri};
  DestinationGate destination(scope);
  SourceGate source(scope);
  for (Input in(input); !in.empty();) {
    const auto choice = in.number(1);
    auto message = message_of(in);
    switch (static_cast<Step>(choice % kSteps)) {
      case peer_calls:
        if (destination.admit(message)) check_admitted(message);
        break;
      case libvirtd_says: static_cast<void>(destination.judge(message)); break;
      case finish_comes: check_finish(destination, choice >= 128, std::move(message)); break;
      case client_says: static_cast<void>(source.judge(message)); break;
      case peer_answers:
        if (parse_header(message)) static_cast<void>(parse_error(payload_of(message)));
        static_cast<void>(source.admit(message));
        break;
      case finish_ends: check_finish_answer(source, choice >= 128, std::move(message)); break;
    }
  }
}

}  // namespace vmigrate::fuzz
