#pragma once

#include <cstdint>
#include <optional>
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

/// Whom libvirt gave the running VM's images to, as user and group; nothing when it leaves owners alone.
struct Owner {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};
std::optional<Owner> owner_of_images(const std::string& live_xml);

/// Whether a host can be asked if it has this processor: it names features, and somebody wanted them to be
/// checked.
bool is_comparable_processor(const std::string& cpu_xml);

/// Whether a host's capabilities document (virConnectGetCapabilities) lists the emulator. libvirt runs any
/// program that it is asked about as one, and the one who asks here is another host.
bool knows_emulator(const std::string& capabilities_xml, const std::string& emulator);

/// Whether a host with this capabilities document (virConnectGetCapabilities) knows the machine type. Also
/// true when the document does not say: it lists the machine types of each architecture's usual emulator
/// only.
bool knows_machine(const std::string& capabilities_xml, const DomainDescription& domain);

/// The CPU model without which the VM cannot start, and which is not among those of the emulator's
/// capabilities (virConnectGetDomainCapabilities). Empty when there is none, when libvirt may take another
/// model, or when the document lists no models.
std::string missing_processor_model(const std::string& domain_capabilities_xml, const std::string& cpu_xml);

}  // namespace vmigrate::hypervisor
