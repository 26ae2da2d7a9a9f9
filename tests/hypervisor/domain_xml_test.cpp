#include "hypervisor/domain_xml.hpp"

#include <gmock/gmock.h>

#include "hypervisor/checks.hpp"

namespace vmigrate::hypervisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kDomain = R"xml(<domain type='kvm' id='3'>
  <name>web1</name><uuid>6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01</uuid>
  <memory unit='KiB'>2097152</memory><vcpu placement='static' current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><kernel>/boot/vmlinuz</kernel></os>
  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/><source file='/srv/web1.qcow2' index='1'/>
      <backingStore type='file' index='2'><format type='qcow2'/><source file='/srv/base.qcow2'/>
        <backingStore type='block' index='3'><source dev='/dev/vg/root'/><backingStore/></backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'><driver name='qemu' cache='writeback'/><source dev='/dev/sdb'/>
      <backingStore/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><driver name='qemu'/><source protocol='rbd' name='p/i'/><target dev='vdc'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu'/><target dev='sda'/><readonly/></disk>
    <disk type='nvme' device='disk'><source type='pci' namespace='1'/><target dev='vdd'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:02'/>
      <source network='lan' portid='x' bridge='virbr0'/><target dev='vnet1'/></interface>
    <interface type='direct'><mac address='52:54:00:00:00:03'/><source dev='eth1' mode='bridge'/>
      <target dev='macvtap0'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:04'/><source bridge='ovs0'/>
      <virtualport type='openvswitch'/><vlan><tag id='42'/></vlan><target dev='vnet2'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:05'/></interface>
    <hostdev mode='subsystem' type='pci'/>
    <filesystem type='mount'><target dir='share'/></filesystem>
  </devices>
  <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label></seclabel>
</domain>)xml";

TEST(DomainXml, ReadsWhatTheDestinationHasToKnow) {
  const auto domain = parse_domain(kDomain).value();
  EXPECT_EQ(domain.name, "web1");
  EXPECT_EQ(domain.id.text(), "6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01");
  EXPECT_TRUE(domain.accelerated);
  EXPECT_EQ(domain.architecture, "x86_64");
  EXPECT_EQ(domain.machine, "pc-q35-7.2");
  EXPECT_EQ(domain.memory.count, std::uint64_t{2} << 30);
  EXPECT_EQ(domain.vcpus, 2U);
  EXPECT_THAT(domain.cpu_xml, HasSubstr("qemu64"));
  EXPECT_THAT(boot_files(kDomain), ElementsAre("/boot/vmlinuz"));
  EXPECT_THAT(devices_bound_to_host(kDomain), SizeIs(2));
  EXPECT_EQ(owner_of_images(kDomain)->user, 64055U);
  EXPECT_EQ(owner_of_images(kDomain)->group, 108U);
}

TEST(DomainXml, ReadsDisksAndWhatTheyAreBasedOn) {
  const auto disks = parse_domain(kDomain)->disks;
  ASSERT_THAT(disks, SizeIs(7));
  EXPECT_EQ(disks[0].path, "/srv/web1.qcow2");
  EXPECT_TRUE(disks[0].coherent_cache);
  EXPECT_FALSE(disks[0].read_only);
  EXPECT_EQ(disks[1].path, "/srv/base.qcow2");
  EXPECT_TRUE(disks[1].read_only);
  EXPECT_EQ(disks[2].path, "/dev/vg/root");
  EXPECT_TRUE(disks[2].block_device);
  EXPECT_TRUE(disks[3].block_device);
  EXPECT_FALSE(disks[3].coherent_cache);
  EXPECT_TRUE(disks[4].network);
  EXPECT_TRUE(disks[5].path.empty()) << "an empty CD drive";
  EXPECT_EQ(disks[6].path, "nvme") << "no path, but not an empty drive either";
}

TEST(DomainXml, TellsHowInterfacesAreAttached) {
  const auto interfaces = parse_domain(kDomain)->interfaces;
  ASSERT_THAT(interfaces, SizeIs(5));
  EXPECT_EQ(interfaces[0].kind, AttachmentKind::bridge);
  EXPECT_EQ(interfaces[0].link, "br0");
  EXPECT_EQ(interfaces[0].tap, "vnet0");
  EXPECT_EQ(interfaces[1].kind, AttachmentKind::bridge);
  EXPECT_EQ(interfaces[1].link, "virbr0");
  EXPECT_EQ(interfaces[2].kind, AttachmentKind::macvtap);
  EXPECT_EQ(interfaces[2].link, "eth1");
  EXPECT_EQ(interfaces[3].kind, AttachmentKind::open_vswitch);
  EXPECT_EQ(interfaces[3].vlan, 42);
  EXPECT_EQ(interfaces[4].kind, AttachmentKind::other);
}

TEST(DomainXml, RefusesWhatIsNoDomain) {
  EXPECT_FALSE(parse_domain(""));
  EXPECT_FALSE(parse_domain("<domain><uuid>1</uuid></domain>"));
  EXPECT_FALSE(parse_domain(kDomain.substr(0, kDomain.size() / 2)));
}

TEST(DomainXml, KnowsMachinesOfTheUsualEmulatorOnly) {
  const std::string capabilities =
      "<capabilities><guest><arch name='x86_64'><emulator>/usr/bin/qemu-system-x86_64</emulator>"
      "<machine>pc-q35-7.2</machine></arch></guest></capabilities>";
  DomainDescription domain = parse_domain(kDomain).value();
  EXPECT_TRUE(knows_machine(capabilities, domain));
  domain.machine = "pc-q35-9.2";
  EXPECT_FALSE(knows_machine(capabilities, domain));
  domain.emulator = "/opt/qemu/bin/qemu-system-x86_64";
  EXPECT_TRUE(knows_machine(capabilities, domain)) << "nobody said that it does not";
  EXPECT_TRUE(knows_emulator(capabilities, "/usr/bin/qemu-system-x86_64"));
  EXPECT_FALSE(knows_emulator(capabilities, domain.emulator));
  EXPECT_FALSE(knows_emulator(capabilities, ""));
  EXPECT_FALSE(knows_emulator("", domain.emulator));
}

TEST(DomainXml, MissesAProcessorModelThatIsNotListed) {
  const std::string capabilities =
      "<domainCapabilities><cpu><mode name='host-model'><model>EPYC</model></mode>"
      "<mode name='custom' supported='yes'><model usable='no'>qemu64</model><model>Haswell</model></mode>"
      "</cpu></domainCapabilities>";
  const auto missing = [&](const std::string& cpu) { return missing_processor_model(capabilities, cpu); };
  EXPECT_EQ(missing("<cpu mode='custom'><model fallback='forbid'>Haswell</model></cpu>"), "");
  EXPECT_EQ(missing("<cpu mode='custom'><model fallback='forbid'>EPYC</model></cpu>"), "EPYC");
  EXPECT_EQ(missing("<cpu mode='custom'><model fallback='allow'>EPYC</model></cpu>"), "")
      << "another will do";
  EXPECT_EQ(missing("<cpu mode='host-passthrough'/>"), "");
  EXPECT_EQ(missing(""), "");
  EXPECT_EQ(missing_processor_model("<domainCapabilities/>",
                                    "<cpu mode='custom'><model fallback='forbid'>EPYC</model></cpu>"),
            "")
      << "nobody said that it does not";
}

TEST(Checks, CacheModesThatAreNotCoherent) {
  const auto findings = check_caches(parse_domain(kDomain).value());
  // vdb by its mode; the NVMe drive is no path of ours, but has no mode either.
  ASSERT_THAT(findings, SizeIs(2));
  EXPECT_THAT(findings[0].what, HasSubstr("vdb"));
}

TEST(Checks, MemoryHasToBeThere) {
  DomainDescription domain;
  domain.name = "web1";
  domain.memory = Bytes{std::uint64_t{4} << 30};
  EXPECT_THAT(check_memory(domain, Bytes{std::uint64_t{8} << 30}, "hostb"), IsEmpty());
  const auto findings = check_memory(domain, Bytes{std::uint64_t{4} << 30}, "hostb");
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_THAT(findings[0].what, HasSubstr("hostb has 4.0 GiB available"));
  EXPECT_TRUE(available_memory());
}

TEST(Checks, InterfaceNamesFromAPeerAreNoPaths) {
  DomainDescription domain;
  domain.interfaces = {
      {.mac = "52:54:00:00:00:01", .kind = AttachmentKind::bridge, .link = "../../tmp", .tap = ""}};
  EXPECT_THAT(check_interfaces(domain, "hostb"), SizeIs(1));
}

}  // namespace
}  // namespace vmigrate::hypervisor
