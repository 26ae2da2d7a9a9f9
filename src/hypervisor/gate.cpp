#include "hypervisor/gate.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <pugixml.hpp>

namespace vmigrate::hypervisor {
namespace {

constexpr std::uint32_t kRequiredFlags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED;
constexpr std::uint32_t kAllowedFlags = kRequiredFlags | VIR_MIGRATE_PERSIST_DEST |
                                        VIR_MIGRATE_UNDEFINE_SOURCE | VIR_MIGRATE_UNSAFE |
                                        VIR_MIGRATE_AUTO_CONVERGE;

constexpr std::array<std::string_view, 5> kAllowedParameters{
    VIR_MIGRATE_PARAM_URI, VIR_MIGRATE_PARAM_DEST_NAME, VIR_MIGRATE_PARAM_DEST_XML,
    VIR_MIGRATE_PARAM_PERSIST_XML, VIR_MIGRATE_PARAM_BANDWIDTH};

/// A client waits for each answer before its next call; a few more do no harm.
constexpr std::size_t kOpenCallLimit = 16;

tl::unexpected<Error> refuse(const std::string& why) {
  return fail(ErrorCode::not_allowed, "the migration's gate refused: " + why);
}

/// The text of an element, if it is all that is in there. libvirt takes the text of everything inside, pieces
/// behind comments and other elements too, where pugixml takes the first piece: what was looked at here would
/// be the beginning of what libvirt reads.
std::string only_text(const pugi::xml_node& element) {
  const pugi::xml_node first = element.first_child();
  return first.next_sibling() || first.type() != pugi::node_pcdata ? "" : first.value();
}

bool is_of(const pugi::xml_node& element, const VmId& vm) {
  return only_text(element.child("uuid")) == vm.text();
}

/// Comments and instructions, which divide texts, are kept for only_text() to see.
constexpr unsigned kParsing = pugi::parse_default | pugi::parse_comments | pugi::parse_pi;

/// A call of the main program and nothing else.
bool is_plain_call(const RpcHeader& header) {
  return header.program == kRemoteProgram && header.version == kRpcVersion && header.type == RpcType::call &&
         header.status == RpcStatus::ok;
}

}  // namespace

Result<> DestinationGate::admit(ByteView message) {
  const auto header = parse_header(message);
  if (!header) return fail(header.error());
  if (!is_plain_call(*header)) return refuse("not a call");
  if (open_calls_.size() >= kOpenCallLimit) return refuse("too many calls at once");
  switch (header->procedure) {
    case procedure::open:
    case procedure::supports_feature:
    case procedure::authentication_list: break;
    case procedure::prepare:
      if (auto admitted = admit_prepare(payload_of(message)); !admitted) return admitted;
      break;
    default: return refuse(fmt::format("procedure {} is no part of a migration", header->procedure));
  }
  open_calls_[header->serial] = header->procedure;
  return {};
}

Result<> DestinationGate::admit_prepare(ByteView payload) {
  if (prepare_seen_) return refuse("a second Prepare");
  const auto call = parse_prepare(payload);
  if (!call) return fail(call.error());
  if ((call->flags & kRequiredFlags) != kRequiredFlags || (call->flags & ~kAllowedFlags) != 0) {
    return refuse(fmt::format("migration flags {:#x}", call->flags));
  }
  if (auto checked = check_parameters(*call); !checked) return checked;
  if (call->text(VIR_MIGRATE_PARAM_URI) == nullptr || call->text(VIR_MIGRATE_PARAM_DEST_XML) == nullptr) {
    return refuse("a Prepare without a migration URI or a definition");
  }
  prepare_seen_ = true;
  flags_ = call->flags;
  return {};
}

Result<ByteBuffer> DestinationGate::admit_finish(const FinishCall& finish) {
  const auto header = parse_header(finish.message);
  if (!header) return fail(header.error());
  if (!is_plain_call(*header) || header->procedure != procedure::finish) return refuse("not a Finish");
  if (!prepare_seen_) return refuse("a Finish before Prepare");
  if (finish_seen_) return refuse("a second Finish");
  const auto call = parse_finish(payload_of(finish.message));
  if (!call) return fail(call.error());
  if (call->flags != flags_)
    return refuse(fmt::format("flags {:#x} after Prepare with {:#x}", call->flags, flags_));
  if (auto checked = check_parameters(*call); !checked) return fail(checked.error());
  if (call->text(VIR_MIGRATE_PARAM_DEST_NAME) == nullptr) return refuse("a Finish that names no VM");
  finish_seen_ = true;
  open_calls_[header->serial] = header->procedure;
  ByteBuffer message = finish.message;
  // The handover's word counts, not what the message was made with.
  set_cancelled(message, finish.cancelled);
  return message;
}

Result<> DestinationGate::check_parameters(const MigrateCall& call) const {
  for (const RpcParameter& parameter : call.parameters) {
    if (std::find(kAllowedParameters.begin(), kAllowedParameters.end(), parameter.name) ==
        kAllowedParameters.end()) {
      return refuse("the parameter " + parameter.name);
    }
    const bool repeated =
        std::count_if(call.parameters.begin(), call.parameters.end(),
                      [&](const RpcParameter& other) { return other.name == parameter.name; }) > 1;
    if (repeated) return refuse("the parameter " + parameter.name + " twice");
  }
  const std::string* uri = call.text(VIR_MIGRATE_PARAM_URI);
  if (uri != nullptr && *uri != scope_.migration_uri) return refuse("the migration URI " + *uri);
  const std::string* name = call.text(VIR_MIGRATE_PARAM_DEST_NAME);
  if (name != nullptr && *name != scope_.name) return refuse("the VM name " + *name);
  for (const auto* parameter : {VIR_MIGRATE_PARAM_DEST_XML, VIR_MIGRATE_PARAM_PERSIST_XML}) {
    const std::string* xml = call.text(parameter);
    if (xml == nullptr) continue;
    if (auto checked = check_definition(*xml); !checked) return checked;
  }
  return check_cookie(call.cookie);
}

Result<> DestinationGate::check_definition(const std::string& xml) const {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size(), kParsing)) return refuse("a definition that is no XML");
  const pugi::xml_node domain = document.child("domain");
  if (!is_of(domain, scope_.vm)) return refuse("the definition of another VM");
  if (scope_.name != only_text(domain.child("name"))) return refuse("a definition with another name");
  const std::string emulator = only_text(domain.child("devices").child("emulator"));
  if (!scope_.emulator.empty() && emulator != scope_.emulator)
    return refuse("a definition that starts " + emulator);
  return {};
}

/// The cookie of Finish brings the definition to be kept, and libvirt does not compare whose it is.
Result<> DestinationGate::check_cookie(const std::string& cookie) const {
  if (cookie.empty()) return {};
  pugi::xml_document document;
  if (!document.load_string(cookie.c_str(), kParsing)) return refuse("a cookie that is no XML");
  const pugi::xml_node root = document.child("qemu-migration");
  if (!is_of(root, scope_.vm)) return refuse("a cookie of another VM");
  for (const pugi::xml_node domain : root.children("domain")) {
    if (!is_of(domain, scope_.vm)) return refuse("a cookie with the definition of another VM");
    if (scope_.name != only_text(domain.child("name"))) return refuse("a cookie with another name");
  }
  return {};
}

DestinationGate::Answer DestinationGate::judge(ByteView message) {
  const auto header = parse_header(message);
  if (!header) return Answer::drop;
  if (header->program == kKeepaliveProgram) {
    return header->procedure == procedure::keepalive_ping ? Answer::ping : Answer::drop;
  }
  const auto call = open_calls_.find(header->serial);
  if (header->program != kRemoteProgram || header->type != RpcType::reply || call == open_calls_.end() ||
      call->second != header->procedure) {
    return Answer::drop;
  }
  open_calls_.erase(call);
  if (header->procedure == procedure::finish) return Answer::finished;
  if (header->procedure != procedure::prepare) return Answer::pass;
  return header->status == RpcStatus::ok ? Answer::prepared : Answer::prepare_failed;
}

Result<SourceGate::Way> SourceGate::judge(ByteView message) {
  const auto header = parse_header(message);
  if (!header) return fail(header.error());
  if (header->program == kKeepaliveProgram) return Way::drop;
  if (!is_plain_call(*header)) return refuse("libvirt's client said something other than a call");
  if (header->procedure == procedure::close) return Way::close;
  if (refuses_calls_ && header->procedure != procedure::finish) return Way::refuse;
  open_calls_[header->serial] = header->procedure;
  return header->procedure == procedure::finish ? Way::finish : Way::to_peer;
}

Result<> SourceGate::admit(ByteView message) {
  const auto header = parse_header(message);
  if (!header) return fail(header.error());
  const auto call = open_calls_.find(header->serial);
  if (header->program != kRemoteProgram || header->version != kRpcVersion || header->type != RpcType::reply ||
      call == open_calls_.end() || call->second != header->procedure ||
      header->procedure == procedure::finish) {
    return refuse("the destination answered what nobody had asked");
  }
  if (header->procedure == procedure::prepare && header->status == RpcStatus::ok) {
    const auto uri = parse_prepare_answer(payload_of(message));
    if (!uri) return fail(uri.error());
    // libvirt would send the VM's memory to wherever the answer says.
    if (*uri && **uri != scope_.migration_uri)
      return refuse("the destination wants the memory sent to " + **uri);
  }
  open_calls_.erase(call);
  return {};
}

std::optional<ByteBuffer> SourceGate::finish_answer(const FinishAnswer& answer) {
  const auto call = std::find_if(open_calls_.begin(), open_calls_.end(),
                                 [](const auto& entry) { return entry.second == procedure::finish; });
  if (call == open_calls_.end()) return std::nullopt;
  const std::uint32_t serial = call->first;
  open_calls_.erase(call);
  if (!answer.loaded) return make_error(procedure::finish, serial, answer.reason);
  // libvirt's own answer also carries statistics. One that cannot be read must not look like a failure.
  const auto header = parse_header(answer.message);
  if (header && header->procedure == procedure::finish && header->program == kRemoteProgram &&
      header->type == RpcType::reply && header->status == RpcStatus::ok) {
    const auto domain = parse_finish_answer(payload_of(answer.message));
    if (domain && domain->uuid == scope_.vm.text() && domain->name == scope_.name) {
      ByteBuffer message = answer.message;
      set_serial(message, serial);
      return message;
    }
  }
  return make_finish_answer({scope_.name, scope_.vm.text()}, serial);
}

std::vector<ByteBuffer> SourceGate::refuse_open_calls(const std::string& why) {
  std::vector<ByteBuffer> answers;
  for (const auto& [serial, procedure] : open_calls_) {
    if (procedure != procedure::finish) answers.push_back(make_error(procedure, serial, why));
  }
  std::erase_if(open_calls_, [](const auto& entry) { return entry.second != procedure::finish; });
  return answers;
}

}  // namespace vmigrate::hypervisor
