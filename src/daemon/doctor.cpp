#include "daemon/doctor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "daemon/certificate.hpp"
#include "daemon/known_hosts.hpp"

namespace vmigrate::daemon {
namespace {

// Long enough to get a new one signed in any company.
constexpr std::chrono::days kExpiryWarning{30};

void add(control::DoctorReport& report, std::string subject, control::DoctorItem::Verdict verdict,
         std::string finding, std::string hint = {}) {
  auto* item = report.add_items();
  item->set_subject(std::move(subject));
  item->set_verdict(verdict);
  item->set_finding(std::move(finding));
  item->set_hint(std::move(hint));
}

}  // namespace

control::DoctorReport Doctor::examine() {
  control::DoctorReport report;
  examine_hypervisor(report);
  examine_acceleration(report);
  examine_certificate(report);
  examine_folders(report);
  examine_audit_trail(report);
  examine_hook(report);
  examine_peers(report);
  return report;
}

void Doctor::examine_hypervisor(control::DoctorReport& report) {
  const auto version = hypervisor_version_();
  if (version) return add(report, "hypervisor", control::DoctorItem::GOOD, *version);
  add(report, "hypervisor", control::DoctorItem::BAD, version.error().message, version.error().hint);
}

void Doctor::examine_acceleration(control::DoctorReport& report) {
  if (::access("/dev/kvm", R_OK | W_OK) == 0)
    return add(report, "KVM", control::DoctorItem::GOOD, "/dev/kvm opens");
  add(report, "KVM", control::DoctorItem::WARNING,
      "/dev/kvm cannot be opened: VMs of type kvm cannot come here",
      "switch virtualisation on in the firmware and load kvm_intel or kvm_amd");
}

void Doctor::examine_certificate(control::DoctorReport& report) {
  const bool own = configuration_.tls.certificate.empty();
  const auto files = credential_files(configuration_);
  const auto& path = files.certificate;
  const auto bad = [&](std::string finding, std::string hint) {
    add(report, "certificate", control::DoctorItem::BAD, std::move(finding), std::move(hint));
  };
  const auto certificate = daemon::examine_certificate(files);
  if (!certificate) return bad(certificate.error().message, certificate.error().hint);
  const std::string renew = own ? "systemctl restart migrated: it makes a new one for the same key, and no "
                                  "host has to be paired anew"
                                : "have a new one made and restart migrated";
  const auto left =
      std::chrono::floor<std::chrono::days>(certificate->expires - std::chrono::system_clock::now());
  if (left.count() < 0)
    return bad(path + (own ? " has expired" : ", or the authority that signed it, has expired"), renew);
  if (!certificate->rejected_because.empty()) {
    return bad(fmt::format("other hosts do not accept {}: {}", path, certificate->rejected_because),
               fmt::format("it has to be signed by {}, and good for a server", configuration_.tls.ca));
  }
  const auto& name = configuration_.host.name;
  const auto& names = certificate->names;
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    return bad(names.empty()
                   ? fmt::format("{} carries no name, this host is {}", path, name)
                   : fmt::format("{} is for {}, this host is {}", path, fmt::join(names, ", "), name),
               fmt::format("have one signed with the DNS subject alternative name {}, or set host.name in "
                           "migrated.toml",
                           name));
  }
  const auto finding = fmt::format("{} is good for {} more days", path, left.count());
  if (left < kExpiryWarning) return add(report, "certificate", control::DoctorItem::WARNING, finding, renew);
  add(report, "certificate", control::DoctorItem::GOOD, finding);
}

void Doctor::examine_folders(control::DoctorReport& report) {
  // Made at the start; but a clean-up script or a disk that went read-only may have come since.
  const std::array<std::pair<std::string, std::string>, 2> folders{
      {{"state folder", configuration_.paths.state}, {"runtime folder", configuration_.paths.runtime}}};
  for (const auto& [subject, path] : folders) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      add(report, subject, control::DoctorItem::BAD,
          path + (error || !std::filesystem::exists(path, error) ? " does not exist" : " is not a folder"),
          "restart migrated, which makes it; see [paths] in migrated.toml");
    } else if (::access(path.c_str(), W_OK | X_OK) != 0) {
      const auto why = std::generic_category().message(errno);
      add(report, subject, control::DoctorItem::BAD, fmt::format("{} cannot be written: {}", path, why),
          "look at the file system that it is on: no VM can leave or come until migrated can write there");
    } else {
      add(report, subject, control::DoctorItem::GOOD, path + " can be written");
    }
  }
}

void Doctor::examine_audit_trail(control::DoctorReport& report) {
  const auto trouble = audit_trouble_();
  if (!trouble) return add(report, "audit trail", control::DoctorItem::GOOD, "it can be written");
  add(report, "audit trail", control::DoctorItem::BAD,
      trouble->message + ": no migration begins until it can be written", trouble->hint);
}

void Doctor::examine_hook(control::DoctorReport& report) {
  constexpr auto path = "/etc/libvirt/hooks/qemu.d/vmigrate";
  if (::access(path, X_OK) == 0)
    return add(report, "start veto", control::DoctorItem::GOOD,
               fmt::format("{} is in place, for a libvirtd that was started or reloaded since", path));
  add(report, "start veto", control::DoctorItem::WARNING,
      "nothing keeps libvirt from starting a VM here, by autostart say, that was handed over to another host",
      "vmigrate doctor --fix, as root");
}

void Doctor::examine_peers(control::DoctorReport& report) {
  const auto hosts = known_hosts(configuration_, paired_);
  if (hosts.empty()) {
    add(report, "hosts", control::DoctorItem::WARNING, "no other host is known",
        "vmigrate pair HOST makes one known");
  }
  for (const auto& [name, peer] : hosts) {
    if (!peer.paired && configuration_.tls.ca.empty()) {
      add(report, "host " + name, control::DoctorItem::BAD, "it is configured, but not paired with this host",
          "vmigrate pair " + name);
      continue;
    }
    const auto version = manager_.ping(name);
    if (version) {
      add(report, "host " + name, control::DoctorItem::GOOD,
          fmt::format("migrated {} at {}", *version, peer.address));
    } else {
      add(report, "host " + name, control::DoctorItem::BAD, version.error().message, version.error().hint);
    }
  }
}

}  // namespace vmigrate::daemon
