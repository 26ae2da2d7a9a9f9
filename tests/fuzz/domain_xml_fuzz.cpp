// libvirt's documents, one of which a peer has written: whatever they are, they are read or refused.
#include "fuzz.hpp"
#include "hypervisor/domain_xml.hpp"
#include "migration/messages.hpp"

namespace vmigrate::fuzz {
namespace {

constexpr std::string_view kDomain = R"xml(<domain type='kvm' id='3'><name>web1</name>
<uuid>6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01</uuid><memory unit='KiB'>2097152</memory><vcpu current='2'>4</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><kernel>/boot/vmlinuz</kernel></os>
<cpu mode='custom' check='full'><model fallback='forbid'>qemu64</model></cpu><devices>
<emulator>/usr/bin/qemu</emulator><disk type='file'><driver cache='none'/><source file='/srv/web1'/>
<backingStore type='block'><source dev='/dev/sdb'/><backingStore/></backingStore><target dev='vda'/></disk>
<disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdc'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><vlan><tag id='42'/></vlan>
<target dev='vnet0'/></interface><hostdev mode='subsystem' type='pci'/></devices>
<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label></seclabel></domain>)xml";
constexpr std::string_view kCapabilities = R"xml(<capabilities><guest><arch name='x86_64'>
<emulator>/usr/bin/qemu</emulator><machine maxCpus='255'>pc-q35-7.2</machine></arch></guest></capabilities>)xml";
constexpr std::string_view kDomainCapabilities =
    R"xml(<domainCapabilities><cpu><mode name='custom' supported='yes'>
<model usable='yes'>qemu64</model></mode></cpu></domainCapabilities>)xml";

}  // namespace

std::vector<ByteBuffer> seeds() {
  return {seed_of(kDomain), seed_of(kCapabilities), seed_of(kDomainCapabilities),
          seed_of("<cpu mode='custom'><model fallback='forbid'>qemu64</model></cpu>"),
          seed_of("<!DOCTYPE d [<!ENTITY e 'x'>]><domain><name><![CDATA[web1]]></name></domain>")};
}

void check(ByteView input) {
  const std::string text(as_text(input));
  using namespace hypervisor;
  static_cast<void>(devices_bound_to_host(text));
  static_cast<void>(boot_files(text));
  static_cast<void>(owner_of_images(text));
  static_cast<void>(is_comparable_processor(text));
  static_cast<void>(knows_emulator(text, "/usr/bin/qemu"));
  static_cast<void>(
      missing_processor_model(text, "<cpu mode='custom'><model fallback='forbid'>q</model></cpu>"));
  static_cast<void>(missing_processor_model(std::string(kDomainCapabilities), text));
  const auto domain = parse_domain(text);
  if (!domain) return;
  static_cast<void>(knows_machine(text, *domain));
  static_cast<void>(knows_machine(std::string(kCapabilities), *domain));
  require(domain->disks.size() <= text.size(), "the description is no larger than the document");
  static_cast<void>(missing_processor_model(std::string(kDomainCapabilities), domain->cpu_xml));
}

}  // namespace vmigrate::fuzz
