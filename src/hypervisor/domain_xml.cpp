#include "hypervisor/domain_xml.hpp"

#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <pugixml.hpp>

namespace vmigrate::hypervisor {
namespace {

constexpr int kBackingLimit = 256;

std::string attribute(const pugi::xml_node& node, const char* name) {
  return node.attribute(name).as_string();
}

std::string print(const pugi::xml_node& node) {
  std::ostringstream text;
  if (node) node.print(text, "", pugi::format_raw);
  return text.str();
}

/// <memory unit='KiB'>; libvirt itself always writes KiB.
Bytes parse_memory(const pugi::xml_node& node) {
  return Bytes{node.text().as_ullong() * 1024};
}

/// Where a <source> of this type points to.
void parse_source(Disk& disk, const std::string& type, const pugi::xml_node& source) {
  disk.network = type == "network";
  disk.block_device = type == "block";
  if (disk.network) return;
  if (type == "file") {
    disk.path = attribute(source, "file");
  } else if (type == "block") {
    disk.path = attribute(source, "dev");
  } else {
    disk.path = type;  // no absolute path: the checks say that it cannot move
  }
}

void parse_disk(std::vector<Disk>& disks, const pugi::xml_node& node) {
  Disk disk;
  disk.target = attribute(node.child("target"), "dev");
  disk.read_only = !node.child("readonly").empty();
  const std::string cache = attribute(node.child("driver"), "cache");
  disk.coherent_cache = cache == "none" || cache == "directsync";
  // An empty drive has no source, or one without a place.
  if (node.child("source").first_attribute() || attribute(node, "type") == "network") {
    parse_source(disk, attribute(node, "type"), node.child("source"));
  }
  disks.push_back(disk);
  int depth = 0;
  for (auto base = node.child("backingStore"); base.child("source") && depth < kBackingLimit;
       base = base.child("backingStore")) {
    Disk image;
    image.target = fmt::format("{} (base {})", disk.target, ++depth);
    image.read_only = true;
    image.coherent_cache = disk.coherent_cache;
    parse_source(image, attribute(base, "type"), base.child("source"));
    disks.push_back(image);
  }
}

NetworkInterface parse_interface(const pugi::xml_node& node) {
  NetworkInterface interface;
  const std::string type = attribute(node, "type");
  const pugi::xml_node source = node.child("source");
  interface.mac = attribute(node.child("mac"), "address");
  interface.tap = attribute(node.child("target"), "dev");
  interface.vlan = static_cast<std::uint16_t>(node.child("vlan").child("tag").attribute("id").as_uint());
  const std::string bridge = attribute(source, "bridge");
  if (type == "direct") {
    interface.kind = AttachmentKind::macvtap;
    interface.link = attribute(source, "dev");
  } else if (attribute(node.child("virtualport"), "type") == "openvswitch") {
    interface.kind = AttachmentKind::open_vswitch;
    interface.link = bridge;
  } else if (!bridge.empty()) {
    interface.kind = AttachmentKind::bridge;
    interface.link = bridge;
  }
  return interface;
}

}  // namespace

Result<DomainDescription> parse_domain(const std::string& live_xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(live_xml.data(), live_xml.size());
  const pugi::xml_node root = document.child("domain");
  const auto id = VmId::parse(root.child_value("uuid"));
  if (!parsed || !id) return fail(ErrorCode::failed, "libvirt's description of the VM cannot be read");
  DomainDescription domain;
  domain.name = root.child_value("name");
  domain.id = *id;
  domain.accelerated = attribute(root, "type") == "kvm";
  const pugi::xml_node type = root.child("os").child("type");
  domain.architecture = attribute(type, "arch");
  domain.machine = attribute(type, "machine");
  domain.memory = parse_memory(root.child("memory"));
  const pugi::xml_node vcpus = root.child("vcpu");
  domain.vcpus = vcpus.attribute("current").as_uint(vcpus.text().as_uint());
  domain.cpu_xml = print(root.child("cpu"));
  const pugi::xml_node devices = root.child("devices");
  domain.emulator = devices.child_value("emulator");
  for (const pugi::xml_node disk : devices.children("disk")) parse_disk(domain.disks, disk);
  for (const pugi::xml_node node : devices.children("interface")) {
    domain.interfaces.push_back(parse_interface(node));
  }
  return domain;
}

std::vector<std::string> devices_bound_to_host(const std::string& xml) {
  pugi::xml_document document;
  document.load_buffer(xml.data(), xml.size());
  const pugi::xml_node devices = document.child("domain").child("devices");
  std::vector<std::string> found;
  for (const pugi::xml_node device : devices.children("hostdev")) {
    found.push_back(fmt::format("the host device of kind {}", attribute(device, "type")));
  }
  for (const pugi::xml_node interface : devices.children("interface")) {
    const std::string type = attribute(interface, "type");
    if (type == "hostdev" || type == "vdpa") {
      found.push_back(
          fmt::format("the interface {} on a host device", attribute(interface.child("mac"), "address")));
    }
  }
  for (const pugi::xml_node folder : devices.children("filesystem")) {
    found.push_back(fmt::format("the shared folder {}", attribute(folder.child("target"), "dir")));
  }
  for (const pugi::xml_node memory : devices.children("shmem")) {
    found.push_back(fmt::format("the memory shared with other VMs, {}", attribute(memory, "name")));
  }
  return found;
}

std::vector<std::string> boot_files(const std::string& xml) {
  pugi::xml_document document;
  document.load_buffer(xml.data(), xml.size());
  const pugi::xml_node system = document.child("domain").child("os");
  std::vector<std::string> files;
  for (const char* name : {"kernel", "initrd", "dtb", "loader"}) {
    const std::string path = system.child_value(name);
    if (path.starts_with('/')) files.push_back(path);
  }
  return files;
}

std::optional<Owner> owner_of_images(const std::string& live_xml) {
  pugi::xml_document document;
  document.load_buffer(live_xml.data(), live_xml.size());
  for (const pugi::xml_node label : document.child("domain").children("seclabel")) {
    if (attribute(label, "model") != "dac" || attribute(label, "relabel") != "yes") continue;
    Owner owner;
    char plus = 0;
    char separator = 0;
    char second_plus = 0;
    std::istringstream text(label.child_value("label"));  // "+64055:+64055"
    text >> plus >> owner.user >> separator >> second_plus >> owner.group;
    if (text && plus == '+' && separator == ':' && second_plus == '+') return owner;
  }
  return std::nullopt;
}

bool is_comparable_processor(const std::string& cpu_xml) {
  pugi::xml_document document;
  document.load_buffer(cpu_xml.data(), cpu_xml.size());
  const pugi::xml_node cpu = document.child("cpu");
  const std::string mode = attribute(cpu, "mode");
  return !cpu.empty() && mode != "host-passthrough" && mode != "maximum" && attribute(cpu, "check") != "none";
}

bool knows_emulator(const std::string& capabilities_xml, const std::string& emulator) {
  pugi::xml_document document;
  document.load_buffer(capabilities_xml.data(), capabilities_xml.size());
  // One for each architecture, and sometimes others for kinds of domain in it.
  for (const auto& found : document.select_nodes("/capabilities/guest/arch//emulator")) {
    if (emulator == found.node().child_value()) return true;
  }
  return false;
}

bool knows_machine(const std::string& capabilities_xml, const DomainDescription& domain) {
  pugi::xml_document document;
  document.load_buffer(capabilities_xml.data(), capabilities_xml.size());
  for (const pugi::xml_node guest : document.child("capabilities").children("guest")) {
    const pugi::xml_node architecture = guest.child("arch");
    if (attribute(architecture, "name") != domain.architecture) continue;
    if (domain.emulator != architecture.child_value("emulator")) continue;
    for (const pugi::xml_node machine : architecture.children("machine")) {
      if (domain.machine == machine.child_value()) return true;
    }
    return false;
  }
  return true;
}

std::string missing_processor_model(const std::string& domain_capabilities_xml, const std::string& cpu_xml) {
  pugi::xml_document cpu;
  cpu.load_buffer(cpu_xml.data(), cpu_xml.size());
  const pugi::xml_node model = cpu.child("cpu").child("model");
  if (attribute(cpu.child("cpu"), "mode") != "custom" || attribute(model, "fallback") != "forbid") return {};
  pugi::xml_document document;
  document.load_buffer(domain_capabilities_xml.data(), domain_capabilities_xml.size());
  const pugi::xml_node modes = document.child("domainCapabilities").child("cpu");
  const pugi::xml_node known = modes.find_child_by_attribute("mode", "name", "custom").child("model");
  if (!known) return {};
  for (pugi::xml_node node = known; node; node = node.next_sibling("model")) {
    if (std::string_view(node.child_value()) == model.child_value()) return {};
  }
  return model.child_value();
}

}  // namespace vmigrate::hypervisor
