#pragma once

#include <string>
#include <vector>

#include "hypervisor/domain.hpp"

/// Reads libvirt's domain XML (https://libvirt.org/formatdomain.html). No I/O.
namespace vmigrate::hypervisor {

/// What a live domain's XML says of it. State, persistence, the migratable XML and the disks' identities are
/// not in there. The files that an image is based on are disks of their own, read-only.
Result<DomainDescription> parse_domain(const std::string& live_xml);

/// The devices that cannot leave their host, as a person would name them: "the host device 0000:03:00.0
/// (pci)".
std::vector<std::string> devices_bound_to_host(const std::string& xml);

/// Files that QEMU opens besides disks: kernel, initial RAM disk, firmware.
std::vector<std::string> boot_files(const std::string& xml);

/// Whether a host with this capabilities document (virConnectGetDomainCapabilities) knows the machine type.
bool knows_machine(const std::string& capabilities_xml, const std::string& machine);

}  // namespace vmigrate::hypervisor
