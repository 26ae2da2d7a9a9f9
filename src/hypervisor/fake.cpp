#include "hypervisor/fake.hpp"

#include "hypervisor/fake_host.hpp"

namespace vmigrate::hypervisor {

FakeHypervisor::FakeHypervisor(std::string host, std::shared_ptr<FakeWorld> world)
    : host_(std::make_shared<FakeHost>(std::move(host), std::move(world))) {
}
FakeHypervisor::~FakeHypervisor() = default;

FakeScript& FakeHypervisor::script() {
  return host_->script;
}

void FakeHypervisor::add(const DomainDescription& domain) {
  host_->put(domain);
}

void FakeHypervisor::set_stream(FakeStream stream) {
  host_->set_stream(std::move(stream));
}

void FakeHypervisor::set_findings(std::vector<Finding> outgoing, std::vector<Finding> incoming) {
  host_->set_findings(std::move(outgoing), std::move(incoming));
}

void FakeHypervisor::pause(const VmId& vm) {
  host_->set_state(vm, DomainState::paused);
}

void FakeHypervisor::kill(const VmId& vm) {
  host_->kill(vm);
}

Milliseconds FakeHypervisor::max_pause() const {
  return host_->max_pause();
}

Percent FakeHypervisor::slowdown() const {
  return host_->slowdown();
}

void FakeHypervisor::make_busy() {
  host_->make_busy();
}

Result<std::vector<DomainSummary>> FakeHypervisor::list() {
  if (auto passed = host_->script.pass(FakeStep::list); !passed) return vmigrate::fail(passed.error());
  std::vector<DomainSummary> summaries;
  for (const DomainDescription& domain : host_->all())
    summaries.push_back({domain.name, domain.id, domain.state});
  return summaries;
}

Result<DomainDescription> FakeHypervisor::describe(const std::string& name_or_uuid) {
  if (auto passed = host_->script.pass(FakeStep::describe); !passed) return vmigrate::fail(passed.error());
  for (const DomainDescription& domain : host_->all()) {
    if (domain.name == name_or_uuid || domain.id.text() == name_or_uuid) return domain;
  }
  return vmigrate::fail(ErrorCode::not_found, "there is no VM " + name_or_uuid);
}

Result<DomainState> FakeHypervisor::state(const VmId& vm) {
  if (auto passed = host_->script.pass(FakeStep::state); !passed) return vmigrate::fail(passed.error());
  const auto domain = host_->find(vm);
  return domain ? domain->state : DomainState::absent;
}

Result<std::vector<Finding>> FakeHypervisor::check_outgoing(const DomainDescription& /*domain*/) {
  if (auto passed = host_->script.pass(FakeStep::check_outgoing); !passed)
    return vmigrate::fail(passed.error());
  return host_->findings(false);
}

Result<std::vector<Finding>> FakeHypervisor::check_incoming(const DomainDescription& domain) {
  if (auto passed = host_->script.pass(FakeStep::check_incoming); !passed)
    return vmigrate::fail(passed.error());
  auto findings = host_->findings(true);
  const auto present = host_->find(domain.id);
  if (present && present->state != DomainState::shut_off) {
    findings.push_back({ErrorCode::refused, "the VM " + domain.name + " is active there already", ""});
  }
  return findings;
}

Result<std::unique_ptr<OutgoingMove>> FakeHypervisor::begin_outgoing(const DomainDescription& domain,
                                                                     const OutgoingOptions& options,
                                                                     OutgoingEvents events) {
  if (auto passed = host_->script.pass(FakeStep::begin_outgoing); !passed)
    return vmigrate::fail(passed.error());
  return make_fake_outgoing(host_, domain, options, std::move(events));
}

Result<std::unique_ptr<IncomingMove>> FakeHypervisor::begin_incoming(const IncomingOptions& options,
                                                                     IncomingEvents events) {
  if (auto passed = host_->script.pass(FakeStep::begin_incoming); !passed)
    return vmigrate::fail(passed.error());
  return make_fake_incoming(host_, options, std::move(events));
}

Result<> FakeHypervisor::warn_people(const VmId&, const std::string& warning) {
  host_->note(warning.empty() ? "no warning" : "warning: " + warning);
  return {};
}

Result<> FakeHypervisor::resume(const VmId& vm) {
  host_->note("resume");
  if (auto passed = host_->script.pass(FakeStep::resume); !passed) return passed;
  const auto domain = host_->find(vm);
  if (!domain) return vmigrate::fail(ErrorCode::not_found, "there is no such VM");
  if (domain->state != DomainState::paused && domain->state != DomainState::running) {
    return vmigrate::fail(ErrorCode::failed,
                          "a VM that is " + std::string(to_string(domain->state)) + " cannot be resumed");
  }
  host_->set_state(vm, DomainState::running);
  return {};
}

Result<> FakeHypervisor::destroy(const VmId& vm) {
  host_->note("destroy");
  if (auto passed = host_->script.pass(FakeStep::destroy); !passed) return passed;
  host_->end(vm);
  return {};
}

Result<> FakeHypervisor::undefine(const VmId& vm) {
  host_->note("undefine");
  if (auto passed = host_->script.pass(FakeStep::undefine); !passed) return passed;
  const auto domain = host_->find(vm);
  if (domain && domain->state != DomainState::shut_off) {
    return vmigrate::fail(ErrorCode::failed, "the VM is active: its definition stays");
  }
  host_->remove(vm);
  return {};
}

DomainDescription example_domain(const std::string& name) {
  DomainDescription domain;
  domain.name = name;
  domain.id = VmId::random();
  domain.state = DomainState::running;
  domain.persistent = true;
  domain.architecture = "x86_64";
  domain.machine = "pc-q35-7.2";
  domain.emulator = "/usr/bin/qemu-system-x86_64";
  domain.memory = Bytes{std::uint64_t{1} << 30};
  domain.vcpus = 1;
  domain.migratable_xml = "<domain type='qemu'><name>" + name + "</name></domain>";
  domain.disks.push_back({.target = "vda",
                          .path = "/srv/" + name + ".img",
                          .coherent_cache = true,
                          .identity = "token " + name});
  domain.interfaces.push_back(
      {.mac = "52:54:00:12:34:56", .kind = AttachmentKind::bridge, .link = "br0", .tap = "vnet0"});
  return domain;
}

}  // namespace vmigrate::hypervisor
