#include "hypervisor/libvirt_hypervisor.hpp"

#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "hypervisor/checks.hpp"
#include "hypervisor/domain_xml.hpp"
#include "hypervisor/emulation.hpp"
#include "hypervisor/incoming_move.hpp"
#include "hypervisor/libvirt_link.hpp"
#include "hypervisor/outgoing_move.hpp"
#include "hypervisor/storage_proof.hpp"

namespace vmigrate::hypervisor {
namespace {

// How long after a check a destination may still look for the tokens.
constexpr int kTokenMilliseconds = 60'000;

std::string default_socket() {
  // The daemon for QEMU alone, where libvirt is split into several; else the one for everything.
  for (const char* path : {"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path;
  }
  return "/run/libvirt/libvirt-sock";
}

std::string system_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "this host";
}

std::string dotted(unsigned long version) {
  return fmt::format("{}.{}.{}", version / 1'000'000, version / 1'000 % 1'000, version % 1'000);
}

/// The libvirt domains of a connection, each with its owner.
Result<std::vector<Domain>> all_domains(virConnectPtr connection) {
  virDomainPtr* list = nullptr;
  const int count = ::virConnectListAllDomains(connection, &list, 0);
  if (count < 0) return fail(libvirt_error("listing the VMs"));
  std::vector<Domain> domains;
  domains.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) domains.emplace_back(list[i]);
  std::free(list);
  return domains;
}

Result<VmId> id_of(virDomainPtr domain) {
  std::array<char, VIR_UUID_STRING_BUFLEN> text{};
  if (::virDomainGetUUIDString(domain, text.data()) != 0)
    return fail(libvirt_error("asking for a VM's UUID"));
  return VmId::parse(text.data());
}

Domain look_up(virConnectPtr connection, const std::string& name_or_uuid) {
  // A name that looks like a UUID is still a name.
  Domain domain(::virDomainLookupByName(connection, name_or_uuid.c_str()));
  if (!domain && VmId::parse(name_or_uuid))
    domain.reset(::virDomainLookupByUUIDString(connection, name_or_uuid.c_str()));
  return domain;
}

void append(std::vector<Finding>& findings, Findings more) {
  findings.insert(findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// Withdraws a check's tokens from libvirt's event thread when their time is over.
struct TokenTimer {
  std::weak_ptr<StorageTokens> tokens;
  std::vector<Disk> disks;
  static void fire(int timer, void* opaque) {
    const auto* self = static_cast<TokenTimer*>(opaque);
    if (const auto tokens = self->tokens.lock()) tokens->withdraw(self->disks);
    ::virEventRemoveTimeout(timer);
  }
  static void free(void* opaque) { delete static_cast<TokenTimer*>(opaque); }
};

}  // namespace

LibvirtHypervisor::LibvirtHypervisor(EventLoop& /*loop*/, LibvirtOptions options)
    : host_(options.host.empty() ? system_name() : options.host),
      lossy_emulation_(options.lossy_emulation),
      link_(std::make_shared<LibvirtLink>(options.socket.empty() ? default_socket() : options.socket,
                                          std::move(options.connection_lost))),
      tokens_(std::make_shared<StorageTokens>()) {
}

LibvirtHypervisor::~LibvirtHypervisor() = default;

Result<std::string> LibvirtHypervisor::version() {
  const auto connection = link_->connection();
  if (!connection) return fail(connection.error());
  unsigned long libvirt = 0;
  unsigned long qemu = 0;
  if (::virConnectGetLibVersion(connection->get(), &libvirt) != 0 ||
      ::virConnectGetVersion(connection->get(), &qemu) != 0) {
    return fail(libvirt_error("asking for versions"));
  }
  return fmt::format("libvirt {}, QEMU {}", dotted(libvirt), dotted(qemu));
}

Result<std::vector<DomainSummary>> LibvirtHypervisor::list() {
  const auto connection = link_->connection();
  if (!connection) return fail(connection.error());
  const auto domains = all_domains(connection->get());
  if (!domains) return fail(domains.error());
  std::vector<DomainSummary> summaries;
  for (const Domain& domain : *domains) {
    const auto id = id_of(domain.get());
    const auto state = state_of(domain.get());
    if (!id) return fail(id.error());
    if (!state) return fail(state.error());
    // One that went away between the two questions.
    if (*state == DomainState::absent) continue;
    summaries.push_back({::virDomainGetName(domain.get()), *id, *state});
  }
  return summaries;
}

Result<DomainDescription> LibvirtHypervisor::describe(const std::string& name_or_uuid) {
  const auto connection = link_->connection();
  if (!connection) return fail(connection.error());
  const Domain domain = look_up(connection->get(), name_or_uuid);
  if (!domain) {
    Error error = libvirt_error("libvirt");
    if (error.code != ErrorCode::not_found) return fail(error);
    return fail(ErrorCode::not_found, fmt::format("there is no VM {} on {}", name_or_uuid, host_));
  }
  const std::string xml = take_text(::virDomainGetXMLDesc(domain.get(), 0));
  if (xml.empty()) return fail(libvirt_error("describing " + name_or_uuid));
  auto description = parse_domain(xml);
  if (!description) return description;
  const auto state = state_of(domain.get());
  if (!state) return fail(state.error());
  description->state = *state;
  description->persistent = ::virDomainIsPersistent(domain.get()) == 1;
  description->migratable_xml = take_text(::virDomainGetXMLDesc(domain.get(), VIR_DOMAIN_XML_MIGRATABLE));
  for (Disk& disk : description->disks) disk.identity = make_identity(disk);
  return description;
}

Result<DomainState> LibvirtHypervisor::state(const VmId& vm) {
  return link_->state(vm);
}

Result<std::vector<Finding>> LibvirtHypervisor::check_outgoing(const DomainDescription& domain) {
  Findings findings = check_it_runs(domain);
  const bool runs = findings.empty();
  append(findings, check_devices_can_leave(domain));
  append(findings, check_caches(domain));
  if (runs && !domain.accelerated && !lossy_emulation_) {
    const auto running = link_->find(domain.id);
    if (!running) return fail(running.error());
    if (!*running)
      return fail(ErrorCode::not_found, fmt::format("there is no VM {} on {}", domain.name, host_));
    const auto emulation = check_emulation(domain, running->get());
    if (!emulation) return fail(emulation.error());
    append(findings, *emulation);
  }
  if (const auto published = tokens_->publish(domain.disks); !published) {
    findings.push_back({ErrorCode::refused,
                        "the storage cannot be proved to be shared: " + published.error().message,
                        "let root write to the folder of the VM's images"});
  }
  ::virEventAddTimeout(kTokenMilliseconds, &TokenTimer::fire, new TokenTimer{tokens_, domain.disks},
                       &TokenTimer::free);
  return findings;
}

Result<std::vector<Finding>> LibvirtHypervisor::check_incoming(const DomainDescription& domain) {
  const auto connection = link_->connection();
  if (!connection) return fail(connection.error());
  const auto memory = available_memory();
  if (!memory) return fail(memory.error());
  Findings findings = check_presence(domain, connection->get(), host_);
  append(findings, check_interfaces(domain, host_));
  append(findings, check_disks(domain, host_));
  append(findings, check_boot_files(domain, host_));
  append(findings, check_emulator(domain, connection->get(), host_));
  append(findings, check_processor(domain, connection->get(), host_));
  append(findings, check_memory(domain, *memory, host_));
  return findings;
}

Result<std::unique_ptr<OutgoingMove>> LibvirtHypervisor::begin_outgoing(const DomainDescription& domain,
                                                                        const OutgoingOptions& options,
                                                                        OutgoingEvents events) {
  tokens_->withdraw(domain.disks);
  return LibvirtOutgoingMove::create(link_, domain, options, std::move(events));
}

Result<std::unique_ptr<IncomingMove>> LibvirtHypervisor::begin_incoming(const IncomingOptions& options,
                                                                        IncomingEvents events) {
  return LibvirtIncomingMove::create(link_, options, std::move(events));
}

Result<> LibvirtHypervisor::warn_people(const VmId& vm, const std::string& warning) {
  return link_->warn_people(vm, warning);
}

Result<> LibvirtHypervisor::resume(const VmId& vm) {
  return link_->resume(vm);
}

Result<> LibvirtHypervisor::destroy(const VmId& vm) {
  return link_->destroy(vm);
}

Result<> LibvirtHypervisor::undefine(const VmId& vm) {
  return link_->undefine(vm);
}

}  // namespace vmigrate::hypervisor
