#include <cctype>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <libvirt/virterror.h>
#include <net/if.h>
#include <unistd.h>

#include "hypervisor/checks.hpp"
#include "hypervisor/domain_xml.hpp"
#include "hypervisor/libvirt_link.hpp"
#include "hypervisor/storage_proof.hpp"

namespace vmigrate::hypervisor {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// A name that may become part of a path under /sys: what the kernel takes for an interface's name.
bool is_link_name(const std::string& name) {
  return !name.empty() && name.size() < IF_NAMESIZE && name != "." && name != ".." &&
         name.find_first_of("/ \t\n") == std::string::npos;
}

bool is_bridge(const std::string& name) {
  return exists("/sys/class/net/" + name + "/bridge");
}

std::optional<Finding> check_interface(const NetworkInterface& interface, const std::string& host) {
  if (interface.kind == AttachmentKind::other) return std::nullopt;
  const bool present = is_link_name(interface.link) && ::if_nametoindex(interface.link.c_str()) != 0;
  const bool is_link = interface.kind == AttachmentKind::macvtap;
  const bool good = present && (interface.kind != AttachmentKind::bridge || is_bridge(interface.link));
  if (good) return std::nullopt;
  return Finding{ErrorCode::refused,
                 fmt::format("the {} {} of interface {} does not exist on {}", is_link ? "device" : "bridge",
                             interface.link, interface.mac, host),
                 fmt::format("create {} on {}, joined to the same network", interface.link, host)};
}

std::optional<Finding> check_disk(const Disk& disk, const std::string& host) {
  if (disk.network || disk.path.empty()) return std::nullopt;
  if (!disk.path.starts_with('/')) {
    return Finding{ErrorCode::refused, fmt::format("the disk {} is of the kind '{}'", disk.target, disk.path),
                   "only image files, block devices and network storage can be moved with"};
  }
  if (!exists(disk.path)) {
    return Finding{ErrorCode::refused,
                   fmt::format("the disk {} ({}) cannot be reached on {}", disk.target, disk.path, host),
                   fmt::format("mount the storage on {} at the same path", host)};
  }
  if (sees_same_storage(disk)) return std::nullopt;
  if (disk.identity.empty()) {
    return Finding{ErrorCode::refused,
                   fmt::format("nothing tells whether {} of the disk {} is the same storage on both hosts",
                               disk.path, disk.target),
                   "use a device with a serial number or WWN, or a file on shared storage"};
  }
  return Finding{
      ErrorCode::refused,
      fmt::format("{} of the disk {} exists on {} too, but is other storage", disk.path, disk.target, host),
      fmt::format("mount on {} what the source has mounted; a copy is not enough", host)};
}

}  // namespace

Findings check_presence(const DomainDescription& domain, virConnectPtr connection, const std::string& host) {
  const Domain same_id(::virDomainLookupByUUIDString(connection, domain.id.text().c_str()));
  if (same_id) {
    const auto state = state_of(same_id.get());
    const bool active = !state || (*state != DomainState::shut_off && *state != DomainState::absent);
    if (active) {
      return {{ErrorCode::refused,
               fmt::format("{} is active on {} already ({})", domain.name, host,
                           state ? to_string(*state) : "state unknown"),
               "a VM runs on one host only: find out why there are two"}};
    }
    return {};
  }
  const Domain same_name(::virDomainLookupByName(connection, domain.name.c_str()));
  if (!same_name) return {};
  return {{ErrorCode::refused, fmt::format("{} has another VM that is called {}", host, domain.name),
           "rename or remove one of the two"}};
}

Findings check_interfaces(const DomainDescription& domain, const std::string& host) {
  Findings findings;
  for (const NetworkInterface& interface : domain.interfaces) {
    if (auto finding = check_interface(interface, host)) findings.push_back(std::move(*finding));
  }
  return findings;
}

Findings check_disks(const DomainDescription& domain, const std::string& host) {
  Findings findings;
  for (const Disk& disk : domain.disks) {
    if (auto finding = check_disk(disk, host)) findings.push_back(std::move(*finding));
  }
  return findings;
}

Findings check_boot_files(const DomainDescription& domain, const std::string& host) {
  Findings findings;
  for (const std::string& path : boot_files(domain.migratable_xml)) {
    if (exists(path)) continue;
    findings.push_back({ErrorCode::refused,
                        fmt::format("{} boots from {}, which {} does not have", domain.name, path, host),
                        fmt::format("copy it to {}", host)});
  }
  return findings;
}

Findings check_emulator(const DomainDescription& domain, virConnectPtr connection, const std::string& host) {
  if (::access(domain.emulator.c_str(), X_OK) != 0) {
    return {{ErrorCode::refused,
             fmt::format("{} does not have {}'s emulator {}", host, domain.name, domain.emulator),
             fmt::format("install the same QEMU on {}", host)}};
  }
  const std::string host_capabilities = take_text(::virConnectGetCapabilities(connection));
  if (!knows_emulator(host_capabilities, domain.emulator)) {
    return {
        {ErrorCode::refused,
         fmt::format("{}'s emulator {} is none that libvirt on {} knows", domain.name, domain.emulator, host),
         fmt::format("let the VM use one that virsh capabilities lists on {}", host)}};
  }
  if (!knows_machine(host_capabilities, domain)) {
    return {{ErrorCode::refused,
             fmt::format("the QEMU on {} does not know the machine type {}", host, domain.machine),
             fmt::format("install a newer QEMU on {}", host)}};
  }
  const char* kind = domain.accelerated ? "kvm" : "qemu";
  const std::string capabilities = take_text(::virConnectGetDomainCapabilities(
      connection, domain.emulator.c_str(), domain.architecture.c_str(), domain.machine.c_str(), kind, 0));
  if (capabilities.empty()) {
    return {{ErrorCode::refused,
             fmt::format("{} cannot run {} ({}, {}): {}", host, domain.name, domain.machine, kind,
                         libvirt_error("libvirt").message),
             domain.accelerated ? "see that /dev/kvm is there and virtualisation is switched on"
                                : "install a newer QEMU"}};
  }
  if (const auto model = missing_processor_model(capabilities, domain.cpu_xml); !model.empty()) {
    return {{ErrorCode::refused,
             fmt::format("the QEMU on {} does not know the CPU model {} of {}", host, model, domain.name),
             fmt::format("install a newer QEMU on {}, or give the VM a CPU model that both hosts have and "
                         "restart it once",
                         host)}};
  }
  return {};
}

/// Only for KVM: emulation can give a guest the features of any processor whose model it knows, and what it
/// cannot give it could not at the source.
Findings check_processor(const DomainDescription& domain, virConnectPtr connection, const std::string& host) {
  if (!domain.accelerated || !is_comparable_processor(domain.cpu_xml)) return {};
  const int verdict = ::virConnectCompareHypervisorCPU(
      connection, domain.emulator.c_str(), domain.architecture.c_str(), domain.machine.c_str(), "kvm",
      domain.cpu_xml.c_str(), VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
  const auto* error = ::virGetLastError();
  if (verdict != VIR_CPU_COMPARE_ERROR || error == nullptr || error->code != VIR_ERR_CPU_INCOMPATIBLE)
    return {};
  return {{ErrorCode::refused,
           fmt::format("the processor of {} lacks what {} was started with: {}", host, domain.name,
                       error->message),
           "give the VM a CPU model that both hosts have, and restart it once"}};
}

}  // namespace vmigrate::hypervisor
