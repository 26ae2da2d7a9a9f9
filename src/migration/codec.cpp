#include <fmt/format.h>

#include "audit/trail.hpp"
#include "base/text.hpp"
#include "migration/messages.hpp"
#include "vmigrate/migration.pb.h"

namespace vmigrate::migration {
namespace {

// A VM with more than these is none that QEMU runs.
constexpr int kMaximumDisks = 256;
constexpr int kMaximumInterfaces = 256;
constexpr int kMaximumFindings = 256;
constexpr int kMaximumAddresses = 64;
constexpr std::size_t kChecksumBytes = 16;

std::string text_of(const ByteBuffer& bytes) {
  return std::string(as_text(bytes));
}
ByteBuffer bytes_of(const std::string& text) {
  return copy_of(as_byte_view(text));
}

tl::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::refused, fmt::format("the peer sent a message with {}", what),
              "do both hosts run the same version of migrated?");
}

// --- The audit trail's heads
// -------------------------------------------------------------------------------------------

template <class Message>
void put(const std::optional<audit::Head>& head, Message* out) {
  if (!head) return;
  out->mutable_audit_head()->set_number(head->number);
  out->mutable_audit_head()->set_hash(head->hash);
}

/// Not said, by a host that keeps no trail or is older than they are, is no error.
template <class Message>
Result<std::optional<audit::Head>> take_head(const Message& in) {
  if (!in.has_audit_head() || in.audit_head().number() == 0) return std::nullopt;
  if (!audit::is_hash(in.audit_head().hash())) return malformed("a head of an audit trail that is none");
  return audit::Head{in.audit_head().number(), in.audit_head().hash()};
}

// --- Domain
// -------------------------------------------------------------------------------------------------

void put(const hypervisor::DomainDescription& domain, wire::Domain* out) {
  out->set_name(domain.name);
  out->set_id(domain.id.text());
  out->set_state(static_cast<std::uint32_t>(domain.state));
  out->set_persistent(domain.persistent);
  out->set_accelerated(domain.accelerated);
  out->set_architecture(domain.architecture);
  out->set_machine(domain.machine);
  out->set_emulator(domain.emulator);
  out->set_memory(domain.memory.count);
  out->set_vcpus(domain.vcpus);
  out->set_cpu_xml(domain.cpu_xml);
  out->set_migratable_xml(domain.migratable_xml);
  out->set_vmm(domain.vmm);
  out->set_vmm_description(text_of(domain.vmm_description));
  for (const auto& disk : domain.disks) {
    auto* to = out->add_disks();
    to->set_target(disk.target);
    to->set_path(disk.path);
    to->set_block_device(disk.block_device);
    to->set_network(disk.network);
    to->set_read_only(disk.read_only);
    to->set_coherent_cache(disk.coherent_cache);
    to->set_identity(disk.identity);
  }
  for (const auto& interface : domain.interfaces) {
    auto* to = out->add_interfaces();
    to->set_mac(interface.mac);
    to->set_kind(static_cast<std::uint32_t>(interface.kind));
    to->set_link(interface.link);
    to->set_vlan(interface.vlan);
  }
}

Result<hypervisor::DomainDescription> take(const wire::Domain& in) {
  auto id = VmId::parse(in.id());
  if (!id || in.name().empty()) return malformed("a VM without name or UUID");
  if (in.disks_size() > kMaximumDisks || in.interfaces_size() > kMaximumInterfaces) {
    return malformed("more disks or interfaces than a VM can have");
  }
  if (in.state() > static_cast<std::uint32_t>(hypervisor::DomainState::crashed))
    return malformed("an unknown state");
  hypervisor::DomainDescription domain;
  domain.name = in.name();
  domain.id = *id;
  domain.state = static_cast<hypervisor::DomainState>(in.state());
  domain.persistent = in.persistent();
  domain.accelerated = in.accelerated();
  domain.architecture = in.architecture();
  domain.machine = in.machine();
  domain.emulator = in.emulator();
  domain.memory = {in.memory()};
  domain.vcpus = in.vcpus();
  domain.cpu_xml = in.cpu_xml();
  domain.migratable_xml = in.migratable_xml();
  domain.vmm = in.vmm();
  domain.vmm_description = bytes_of(in.vmm_description());
  for (const auto& from : in.disks()) {
    hypervisor::Disk disk;
    disk.target = from.target();
    disk.path = from.path();
    disk.block_device = from.block_device();
    disk.network = from.network();
    disk.read_only = from.read_only();
    disk.coherent_cache = from.coherent_cache();
    disk.identity = from.identity();
    domain.disks.push_back(std::move(disk));
  }
  for (const auto& from : in.interfaces()) {
    if (from.kind() > static_cast<std::uint32_t>(hypervisor::AttachmentKind::other) || from.vlan() > 4094) {
      return malformed("an unknown kind of network interface");
    }
    hypervisor::NetworkInterface interface;
    interface.mac = from.mac();
    interface.kind = static_cast<hypervisor::AttachmentKind>(from.kind());
    interface.link = from.link();
    interface.vlan = static_cast<std::uint16_t>(from.vlan());
    domain.interfaces.push_back(std::move(interface));
  }
  return domain;
}

// --- One overload a message, in both directions
// ---------------------------------------------------------------

void put(const Offer& offer, wire::ControlMessage& out) {
  auto* to = out.mutable_offer();
  to->set_migration_id(offer.migration.text());
  to->set_check_only(offer.check_only);
  to->set_runtime_directory(offer.runtime_directory);
  to->set_source_host(offer.source_host);
  put(offer.domain, to->mutable_domain());
  put(offer.audit_head, to);
}

Result<ControlMessage> take(const wire::Offer& in) {
  auto migration = MigrationId::parse(in.migration_id());
  auto domain = take(in.domain());
  if (!migration || in.source_host().empty()) return malformed("an offer without identity");
  if (!domain) return fail(domain.error());
  auto head = take_head(in);
  if (!head) return fail(head.error());
  return Offer{*migration,       in.check_only(),    in.runtime_directory(),
               in.source_host(), std::move(*domain), std::move(*head)};
}

void put(const OfferAnswer& answer, wire::ControlMessage& out) {
  auto* to = out.mutable_offer_answer();
  to->set_destination_host(answer.destination_host);
  to->set_memory(answer.memory.count);
  put(answer.audit_head, to);
  for (const auto& finding : answer.findings) {
    auto* item = to->add_findings();
    item->set_code(static_cast<std::uint32_t>(finding.code));
    item->set_what(valid_utf8(finding.what));
    item->set_hint(valid_utf8(finding.hint));
  }
}

Result<ControlMessage> take(const wire::OfferAnswer& in) {
  if (in.findings_size() > kMaximumFindings) return malformed("too many findings");
  auto head = take_head(in);
  if (!head) return fail(head.error());
  OfferAnswer answer{in.destination_host(), {}, {in.memory()}, std::move(*head)};
  for (const auto& from : in.findings()) {
    const bool known =
        from.code() >= 1 && from.code() <= static_cast<std::uint32_t>(ErrorCode::needs_attention);
    answer.findings.push_back(
        {known ? static_cast<ErrorCode>(from.code()) : ErrorCode::refused, from.what(), from.hint()});
  }
  return answer;
}

void put(const Abort& abort, wire::ControlMessage& out) {
  out.mutable_abort()->set_reason(valid_utf8(abort.reason));
}

Result<ControlMessage> take(const wire::Abort& in) {
  return Abort{in.reason()};
}

void put(const Finish& finish, wire::ControlMessage& out) {
  auto* to = out.mutable_finish();
  to->set_migration_id(finish.migration.text());
  to->set_call(text_of(finish.call));
  to->set_stream_bytes(finish.digest.bytes);
  to->set_stream_checksum(text_of(finish.digest.checksum));
  for (const auto& known : finish.addresses) {
    auto* item = to->add_addresses();
    item->set_mac(known.mac);
    for (const auto& address : known.addresses) item->add_addresses(address);
  }
}

Result<ControlMessage> take(const wire::Finish& in) {
  auto migration = MigrationId::parse(in.migration_id());
  if (!migration || in.stream_checksum().size() != kChecksumBytes)
    return malformed("a finish without identity");
  if (in.addresses_size() > kMaximumInterfaces) return malformed("too many interfaces");
  Finish finish{*migration, bytes_of(in.call()), {in.stream_bytes(), bytes_of(in.stream_checksum())}, {}};
  for (const auto& from : in.addresses()) {
    if (from.addresses_size() > kMaximumAddresses) return malformed("too many addresses");
    finish.addresses.push_back({from.mac(), {from.addresses().begin(), from.addresses().end()}});
  }
  return finish;
}

void put(const Verdict& verdict, wire::ControlMessage& out) {
  auto* to = out.mutable_verdict();
  to->set_migration_id(verdict.migration.text());
  to->set_outcome(static_cast<wire::Outcome>(verdict.outcome));
  to->set_reason(valid_utf8(verdict.reason));
  to->set_answer(text_of(verdict.answer));
  to->set_arrival_us(verdict.arrival_microseconds);
  to->set_load_us(verdict.load_microseconds);
  to->set_start_us(verdict.start_microseconds);
  for (const auto& announced : verdict.announcements) {
    auto* item = to->add_announcements();
    item->set_mac(announced.mac);
    item->set_frames(announced.frames);
    item->set_problem(valid_utf8(announced.problem));
    for (const auto& address : announced.addresses) item->add_addresses(address);
  }
}

Result<ControlMessage> take(const wire::Verdict& in) {
  auto migration = MigrationId::parse(in.migration_id());
  if (!migration || !wire::Outcome_IsValid(in.outcome()) || in.outcome() == wire::OUTCOME_UNSPECIFIED) {
    return malformed("a verdict that says nothing");
  }
  if (in.announcements_size() > kMaximumInterfaces) return malformed("too many interfaces");
  Verdict verdict;
  verdict.migration = *migration;
  verdict.outcome = static_cast<handover::Outcome>(in.outcome());
  verdict.reason = in.reason();
  verdict.answer = bytes_of(in.answer());
  verdict.arrival_microseconds = in.arrival_us();
  verdict.load_microseconds = in.load_us();
  verdict.start_microseconds = in.start_us();
  for (const auto& from : in.announcements()) {
    if (from.addresses_size() > kMaximumAddresses) return malformed("too many addresses");
    verdict.announcements.push_back(
        {from.mac(), from.frames(), {from.addresses().begin(), from.addresses().end()}, from.problem()});
  }
  return verdict;
}

void put(const Ask& ask, wire::ControlMessage& out) {
  out.mutable_ask()->set_migration_id(ask.migration.text());
  out.mutable_ask()->set_taken_back(ask.taken_back);
}

Result<ControlMessage> take(const wire::Ask& in) {
  auto migration = MigrationId::parse(in.migration_id());
  if (!migration) return malformed("a question about no migration");
  return Ask{*migration, in.taken_back()};
}

void put(const Confirmed& confirmed, wire::ControlMessage& out) {
  out.mutable_confirmed()->set_migration_id(confirmed.migration.text());
}

Result<ControlMessage> take(const wire::Confirmed& in) {
  auto migration = MigrationId::parse(in.migration_id());
  if (!migration) return malformed("a confirmation of no migration");
  return Confirmed{*migration};
}

void put(const Ping& ping, wire::ControlMessage& out) {
  out.mutable_ping()->set_version(ping.version);
}

Result<ControlMessage> take(const wire::Ping& in) {
  return Ping{in.version()};
}

void put(const AskHeads& ask, wire::ControlMessage& out) {
  put(ask.audit_head, out.mutable_ask_heads());
}

Result<ControlMessage> take(const wire::AskHeads& in) {
  auto head = take_head(in);
  if (!head) return fail(head.error());
  return AskHeads{std::move(*head)};
}

void put(const Heads& heads, wire::ControlMessage& out) {
  auto* to = out.mutable_heads();
  for (const auto& head : heads.heads) {
    auto* item = to->add_heads();
    item->set_number(head.number);
    item->set_hash(head.hash);
  }
}

Result<ControlMessage> take(const wire::Heads& in) {
  if (static_cast<std::size_t>(in.heads_size()) > audit::kMostHeads)
    return malformed("too many heads of an audit trail");
  Heads heads;
  for (const auto& from : in.heads()) {
    if (from.number() == 0 || !audit::is_hash(from.hash()))
      return malformed("a head of an audit trail that is none");
    heads.heads.push_back({from.number(), from.hash()});
  }
  return heads;
}

void put(const Taken& taken, wire::ControlMessage& out) {
  out.mutable_taken()->set_stream_bytes(taken.stream_bytes);
}

Result<ControlMessage> take(const wire::Taken& in) {
  return Taken{in.stream_bytes()};
}

}  // namespace

ByteBuffer encode(const ControlMessage& message) {
  wire::ControlMessage out;
  std::visit([&](const auto& alternative) { put(alternative, out); }, message);
  ByteBuffer bytes(out.ByteSizeLong());
  out.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

Result<ControlMessage> decode(ByteView bytes) {
  wire::ControlMessage in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return malformed("broken bytes");
  switch (in.message_case()) {
    case wire::ControlMessage::kOffer: return take(in.offer());
    case wire::ControlMessage::kOfferAnswer: return take(in.offer_answer());
    case wire::ControlMessage::kAbort: return take(in.abort());
    case wire::ControlMessage::kFinish: return take(in.finish());
    case wire::ControlMessage::kVerdict: return take(in.verdict());
    case wire::ControlMessage::kAsk: return take(in.ask());
    case wire::ControlMessage::kConfirmed: return take(in.confirmed());
    case wire::ControlMessage::kPing: return take(in.ping());
    case wire::ControlMessage::kAskHeads: return take(in.ask_heads());
    case wire::ControlMessage::kHeads: return take(in.heads());
    case wire::ControlMessage::kTaken: return take(in.taken());
    case wire::ControlMessage::MESSAGE_NOT_SET: break;
  }
  return malformed("nothing this version knows");
}

}  // namespace vmigrate::migration
