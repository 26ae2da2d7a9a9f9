#include "hypervisor/vmm_hypervisor.hpp"

#include <fmt/format.h>

#include "hypervisor/checks_memory.hpp"
#include "hypervisor/vmm_incoming_move.hpp"
#include "hypervisor/vmm_outgoing_move.hpp"
#include "hypervisor/vmm_server.hpp"

namespace vmigrate::hypervisor {
namespace {

constexpr Milliseconds kCheckPatience{20'000};

DomainState state_of(vmm::State state) {
  switch (state) {
    case vmm::RUNNING: return DomainState::running;
    case vmm::PAUSED: return DomainState::paused;
    case vmm::INCOMING: return DomainState::incoming;
    case vmm::CRASHED: return DomainState::crashed;
    default: return DomainState::unknown;
  }
}

Result<vmm::Reply> ask_for_description(Vmm& vmm) {
  vmm::Request request;
  request.mutable_describe();
  auto reply = vmm.ask(std::move(request), kAnswerPatience);
  if (reply && state_of(reply->state()) == DomainState::unknown)
    return fail(ErrorCode::failed, vmm.record().name + "'s VMM does not say how it is");
  return reply;
}

DomainDescription description_of(const VmmRecord& record, const vmm::Reply& reply) {
  const auto& from = reply.description();
  DomainDescription domain;
  domain.name = record.name;
  domain.id = record.id;
  domain.state = state_of(reply.state());
  domain.accelerated = true;
  domain.architecture = "x86_64";
  // For an older migrated, which would take it for a VM of libvirt's, and has no such emulator.
  domain.machine = record.kind;
  domain.emulator = record.kind;
  domain.memory = Bytes{from.memory()};
  domain.vcpus = from.vcpus();
  domain.vmm = record.kind;
  domain.vmm_description = copy_of(as_byte_view(from.SerializeAsString()));
  return domain;
}

/// The peer's word about its VM: what the VMM gets to see is about the VM of the offer.
Result<vmm::Description> described(const DomainDescription& domain) {
  vmm::Description description;
  const auto bytes = as_text(domain.vmm_description);
  const bool fits = description.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
                    description.kind() == domain.vmm && description.vm() == domain.id.text() &&
                    description.name() == domain.name && description.memory() == domain.memory.count;
  if (fits) return description;
  return fail(ErrorCode::refused, "the description of " + domain.name + " is not one of that VM",
              "do both hosts run the same version of migrated?");
}

tl::unexpected<Error> nobody_waits(const std::string& kind, const std::string& host) {
  return fail(ErrorCode::refused, fmt::format("no {} waits for a VM on {}", kind, host),
              fmt::format("start one there that does: {} --standby", kind));
}

}  // namespace

Result<std::unique_ptr<VmmHypervisor>> VmmHypervisor::create(const VmmOptions& options) {
  auto server = VmmServer::create(options.socket, options.books, options.veto, options.hello_patience);
  if (!server) return fail(server.error());
  return std::unique_ptr<VmmHypervisor>(new VmmHypervisor(std::move(*server), options.host));
}

VmmHypervisor::VmmHypervisor(std::unique_ptr<VmmServer> server, std::string host)
    : server_(std::move(server)), host_(std::move(host)) {
}

VmmHypervisor::~VmmHypervisor() = default;

bool VmmHypervisor::has(const VmId& vm) const {
  return server_->find(vm) != nullptr;
}

Result<std::vector<DomainSummary>> VmmHypervisor::list() {
  std::vector<DomainSummary> summaries;
  for (const auto& vmm : server_->all()) {
    const auto record = vmm->record();
    auto state = DomainState::unknown;
    if (vmm->is_connected()) {
      if (const auto reply = ask_for_description(*vmm)) state = state_of(reply->state());
    }
    // One that has gone in the meantime is not here; one that does not answer is.
    if (vmm->process().has_ended()) continue;
    summaries.push_back({record.name, record.id, state});
  }
  return summaries;
}

Result<DomainDescription> VmmHypervisor::describe(const std::string& name_or_uuid) {
  for (const auto& vmm : server_->all()) {
    const auto record = vmm->record();
    if (record.name != name_or_uuid && record.id.text() != name_or_uuid) continue;
    const auto reply = ask_for_description(*vmm);
    if (!reply) return fail(reply.error());
    return description_of(record, *reply);
  }
  return fail(ErrorCode::not_found, fmt::format("there is no VM {} on {}", name_or_uuid, host_));
}

Result<DomainState> VmmHypervisor::state(const VmId& vm) {
  const auto found = server_->find(vm);
  if (!found) return DomainState::absent;
  const auto reply = ask_for_description(*found);
  if (reply) return state_of(reply->state());
  if (found->process().has_ended()) return DomainState::absent;
  return fail(reply.error());
}

Result<std::vector<Finding>> VmmHypervisor::check_outgoing(const DomainDescription& domain) {
  if (domain.state == DomainState::running || domain.state == DomainState::paused)
    return std::vector<Finding>();
  return std::vector<Finding>{{ErrorCode::refused,
                               fmt::format("{} does not run: it is {}", domain.name, to_string(domain.state)),
                               "only a running VM is moved"}};
}

std::vector<Finding> VmmHypervisor::check_presence(const DomainDescription& domain) const {
  for (const auto& vmm : server_->all()) {
    const auto record = vmm->record();
    if (record.id == domain.id) {
      return {{ErrorCode::refused, fmt::format("{} is on {} already", domain.name, host_),
               "a VM runs on one host only: find out why there are two"}};
    }
    if (record.name == domain.name) {
      return {{ErrorCode::refused, fmt::format("{} has another VM that is called {}", host_, domain.name),
               "rename or end one of the two"}};
    }
  }
  return {};
}

Result<std::vector<Finding>> VmmHypervisor::check_incoming(const DomainDescription& domain) {
  if (domain.vmm.empty())
    return fail(ErrorCode::refused,
                fmt::format("{} is a VM of libvirt's, which {} has not", domain.name, host_));
  auto findings = check_presence(domain);
  const auto description = described(domain);
  if (!description) return fail(description.error());
  const auto memory = available_memory();
  if (!memory) return fail(memory.error());
  for (auto& finding : check_memory(domain, *memory, host_)) findings.push_back(std::move(finding));
  if (!findings.empty()) return findings;
  const auto waiting = server_->borrow(domain.vmm);
  if (!waiting) return fail(nobody_waits(domain.vmm, host_).value());
  vmm::Request request;
  *request.mutable_check()->mutable_description() = *description;
  const auto reply = waiting->ask(std::move(request), kCheckPatience);
  server_->give_back(waiting);
  if (reply) return findings;
  findings.push_back(
      {ErrorCode::refused, fmt::format("{}: {}", host_, reply.error().message), reply.error().hint});
  return findings;
}

Result<std::unique_ptr<OutgoingMove>> VmmHypervisor::begin_outgoing(const DomainDescription& domain,
                                                                    const OutgoingOptions& options,
                                                                    OutgoingEvents events) {
  auto vmm = server_->find(domain.id);
  if (!vmm) return fail(ErrorCode::not_found, fmt::format("{} is not on {} any more", domain.name, host_));
  return VmmOutgoingMove::create(server_, std::move(vmm), domain, options, std::move(events));
}

Result<std::unique_ptr<IncomingMove>> VmmHypervisor::begin_incoming(const IncomingOptions& options,
                                                                    IncomingEvents events) {
  auto description = described(options.domain);
  if (!description) return fail(description.error());
  auto vmm = server_->borrow(options.domain.vmm);
  if (!vmm) return nobody_waits(options.domain.vmm, host_);
  return VmmIncomingMove::create(server_, std::move(vmm), std::move(*description), options,
                                 std::move(events));
}

Result<> VmmHypervisor::resume(const VmId& vm) {
  const auto found = server_->find(vm);
  if (!found) return fail(ErrorCode::not_found, fmt::format("there is no VM {} on {}", vm.text(), host_));
  vmm::Request request;
  request.mutable_resume();
  return found->ask(std::move(request), kAnswerPatience).map([](const auto&) {});
}

Result<> VmmHypervisor::destroy(const VmId& vm) {
  const auto found = server_->find(vm);
  return found ? server_->end(found) : Result<>();
}

Result<> VmmHypervisor::undefine(const VmId&) {
  return {};
}

}  // namespace vmigrate::hypervisor
