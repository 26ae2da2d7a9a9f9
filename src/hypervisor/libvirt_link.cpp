#include "hypervisor/libvirt_link.hpp"

#include <cstdlib>

#include <fmt/format.h>
#include <libvirt/virterror.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logging.hpp"
#include "hypervisor/domain_xml.hpp"

namespace vmigrate::hypervisor {
namespace {

// How often libvirtd is asked whether it is still there, and how many answers may be missing.
constexpr int kKeepaliveSeconds = 5;
constexpr unsigned kKeepaliveCount = 3;

bool last_error_is(virErrorNumber code) {
  const auto* error = ::virGetLastError();
  return error != nullptr && error->code == code;
}

void on_closed(virConnectPtr /*connection*/, int reason, void* lost) {
  if (reason != VIR_CONNECT_CLOSE_REASON_CLIENT) (*static_cast<std::function<void()>*>(lost))();
}

void free_handler(void* lost) {
  delete static_cast<std::function<void()>*>(lost);
}

/// libvirt at the destination gives the images back to root when it ends the VM that it had loaded, although
/// on shared storage they are also those of the VM that is still here, stopped, and has to open them again.
/// True when something was put right.
bool take_images_back(virDomainPtr domain) {
  const std::string xml = take_text(::virDomainGetXMLDesc(domain, 0));
  const auto owner = owner_of_images(xml);
  const auto described = parse_domain(xml);
  if (!owner || !described) return false;
  bool changed = false;
  for (const Disk& disk : described->disks) {
    struct stat status {};
    if (!disk.path.starts_with('/') || ::stat(disk.path.c_str(), &status) != 0) continue;
    if (status.st_uid == owner->user && status.st_gid == owner->group) continue;
    spdlog::info("giving {} back to the VM's QEMU", disk.path);
    changed = ::chown(disk.path.c_str(), owner->user, owner->group) == 0 || changed;
  }
  return changed;
}

/// A title that says so at its end, or no more.
std::string with_warning(const std::string& title, const std::string& warning) {
  constexpr std::string_view begin = "[vmigrate: ";
  auto own = title.substr(0, title.find(begin));
  while (own.ends_with(' ')) own.pop_back();
  if (warning.empty()) return own;
  return fmt::format("{}{}{}{}]", own, own.empty() ? "" : " ", begin, warning);
}

/// An arriving VM looks like a paused one, except that libvirt refuses to tell how far it is.
bool is_incoming(virDomainPtr domain) {
  virDomainJobInfo job{};
  return ::virDomainGetJobInfo(domain, &job) != 0 && last_error_is(VIR_ERR_OPERATION_UNSUPPORTED);
}

/// libvirt goes on saying for a moment that a VM runs whose QEMU has died. Asked for something that only QEMU
/// can tell (what does not matter), it finds out.
Result<> ask_whether_it_lives(virDomainPtr domain) {
  virDomainIOThreadInfoPtr* threads = nullptr;
  const int count = ::virDomainGetIOThreadInfo(domain, &threads, VIR_DOMAIN_AFFECT_LIVE);
  if (count < 0) return fail(libvirt_error("asking whether the VM's QEMU lives"));
  for (int i = 0; i < count; ++i) ::virDomainIOThreadInfoFree(threads[i]);
  std::free(threads);
  return {};
}

}  // namespace

Result<SharedConnection> LibvirtLink::connection() {
  const std::lock_guard lock(mutex_);
  if (connection_ && ::virConnectIsAlive(connection_.get()) == 1) return connection_;
  connection_.reset();
  auto opened = open_connection(socket_);
  if (!opened) return fail(opened.error());
  connection_ = std::move(*opened);
  ::virConnectSetKeepAlive(connection_.get(), kKeepaliveSeconds, kKeepaliveCount);
  if (lost_) {
    ::virConnectRegisterCloseCallback(connection_.get(), &on_closed, new std::function<void()>(lost_),
                                      &free_handler);
  }
  return connection_;
}

Result<Domain> LibvirtLink::find(const VmId& vm) {
  const auto connected = connection();
  if (!connected) return fail(connected.error());
  Domain domain(::virDomainLookupByUUIDString(connected->get(), vm.text().c_str()));
  if (!domain && !last_error_is(VIR_ERR_NO_DOMAIN)) return fail(libvirt_error("looking for the VM"));
  return domain;
}

Result<DomainState> state_of(virDomainPtr domain) {
  int state = 0;
  if (::virDomainGetState(domain, &state, nullptr, 0) != 0) {
    if (last_error_is(VIR_ERR_NO_DOMAIN)) return DomainState::absent;
    return fail(libvirt_error("asking for the VM's state"));
  }
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN: return DomainState::running;
    case VIR_DOMAIN_SHUTOFF: return DomainState::shut_off;
    case VIR_DOMAIN_CRASHED: return DomainState::crashed;
    default: return is_incoming(domain) ? DomainState::incoming : DomainState::paused;
  }
}

Result<DomainState> LibvirtLink::state(const VmId& vm) {
  const auto domain = find(vm);
  if (!domain) return fail(domain.error());
  return *domain ? state_of(domain->get()) : DomainState::absent;
}

Result<> LibvirtLink::warn_people(const VmId& vm, const std::string& warning) {
  const auto domain = find(vm);
  if (!domain) return fail(domain.error());
  if (!*domain) return {};
  // None is an error to libvirt.
  const auto before = take_text(
      ::virDomainGetMetadata(domain->get(), VIR_DOMAIN_METADATA_TITLE, nullptr, VIR_DOMAIN_AFFECT_LIVE));
  const auto title = with_warning(before, warning);
  if (title == before) return {};
  // Of this run of the VM only: its definition is the administrator's.
  if (::virDomainSetMetadata(domain->get(), VIR_DOMAIN_METADATA_TITLE,
                             title.empty() ? nullptr : title.c_str(), nullptr, nullptr,
                             VIR_DOMAIN_AFFECT_LIVE) == 0)
    return {};
  return fail(libvirt_error("putting a warning into the VM's title"));
}

Result<> LibvirtLink::resume(const VmId& vm) {
  const auto domain = find(vm);
  if (!domain) return fail(domain.error());
  if (!*domain) return fail(ErrorCode::not_found, "there is no such VM on this host");
  const auto state = state_of(domain->get());
  if (state && *state == DomainState::running) return ask_whether_it_lives(domain->get());
  if (::virDomainResume(domain->get()) == 0) return {};
  const Error error = libvirt_error("starting the VM's vCPUs");
  if (take_images_back(domain->get()) && ::virDomainResume(domain->get()) == 0) return {};
  return fail(error);
}

Result<> LibvirtLink::destroy(const VmId& vm) {
  const auto domain = find(vm);
  if (!domain) return fail(domain.error());
  if (!*domain || ::virDomainDestroy(domain->get()) == 0) return {};
  Error error = libvirt_error("ending the VM's process");
  const auto state = state_of(domain->get());
  if (state && (*state == DomainState::absent || *state == DomainState::shut_off)) return {};
  return fail(std::move(error));
}

Result<> LibvirtLink::undefine(const VmId& vm) {
  const auto domain = find(vm);
  if (!domain) return fail(domain.error());
  if (!*domain) return {};
  const auto state = state_of(domain->get());
  if (!state) return fail(state.error());
  if (*state != DomainState::shut_off && *state != DomainState::absent && *state != DomainState::crashed) {
    return fail(ErrorCode::refused, "the VM is active on this host: its definition stays");
  }
  // What belongs to the VM itself, its firmware variables and its TPM, is none of the definition's.
  constexpr unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                             VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                             VIR_DOMAIN_UNDEFINE_KEEP_TPM;
  if (::virDomainUndefineFlags(domain->get(), flags) == 0 || last_error_is(VIR_ERR_NO_DOMAIN)) return {};
  return fail(libvirt_error("removing the VM's definition"));
}

Result<bool> LibvirtLink::is_persistent(const VmId& vm) {
  const auto domain = find(vm);
  if (!domain) return fail(domain.error());
  return *domain && ::virDomainIsPersistent(domain->get()) == 1;
}

}  // namespace vmigrate::hypervisor
