#include "daemon/doctor.hpp"

#include <chrono>

#include <fmt/format.h>
#include <unistd.h>

#include "daemon/certificate.hpp"

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
  const auto& path = configuration_.tls.certificate;
  const auto expiry = certificate_expiry(path);
  if (!expiry)
    return add(report, "certificate", control::DoctorItem::BAD, expiry.error().message, expiry.error().hint);
  const auto left = std::chrono::floor<std::chrono::days>(*expiry - std::chrono::system_clock::now());
  const std::string hint =
      "have a new one signed and restart migrated; migrations under way are not disturbed";
  if (left.count() < 0)
    return add(report, "certificate", control::DoctorItem::BAD, path + " has expired", hint);
  const auto finding = fmt::format("{} is good for {} more days", path, left.count());
  if (left < kExpiryWarning) return add(report, "certificate", control::DoctorItem::WARNING, finding, hint);
  add(report, "certificate", control::DoctorItem::GOOD, finding);
}

void Doctor::examine_peers(control::DoctorReport& report) {
  if (configuration_.peers.empty()) {
    add(report, "hosts", control::DoctorItem::WARNING, "no other host is configured",
        "add a [peers.NAME] section to migrated.toml");
  }
  for (const auto& [name, peer] : configuration_.peers) {
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
