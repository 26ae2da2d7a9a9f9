#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "base/units.hpp"

namespace vmigrate::hypervisor {

/// What a host knows of a VM. `absent`: neither running nor defined here. `unknown`: it is here, and what
/// runs it does not answer; only ever in a list, since whoever asks for a state is told that as an error.
enum class DomainState { absent, shut_off, running, paused, incoming, crashed, unknown };
std::string_view to_string(DomainState state);

struct DomainSummary {
  std::string name;
  VmId id;
  DomainState state = DomainState::absent;
};

/// How a network interface is attached to the host. Only `bridge` is announced by vmigrate for now.
enum class AttachmentKind { bridge, macvtap, open_vswitch, other };
std::string_view to_string(AttachmentKind kind);

struct NetworkInterface {
  std::string mac;  ///< "52:54:00:12:34:56"
  AttachmentKind kind = AttachmentKind::other;
  std::string link;  ///< bridge or lower device on this host
  std::string tap;   ///< the host's end of the running VM's interface ("vnet3"); empty when it does not run
  std::uint16_t vlan = 0;  ///< 0: untagged
};

struct Disk {
  std::string target;  ///< "vda"
  std::string path;    ///< file or block device; empty for network storage
  bool block_device = false;
  bool network = false;
  bool read_only = false;
  bool coherent_cache = false;  ///< cache mode none or directsync: nothing stays in this host's page cache
  /// Proof of being the same storage on both hosts, filled in by check_outgoing: a token file in the image's
  /// folder, or a block device's identity. Empty: nothing to compare (network storage, empty CD drive).
  std::string identity;
};

/// A VM as the destination has to know it before it says yes.
struct DomainDescription {
  std::string name;
  VmId id;
  DomainState state = DomainState::absent;
  bool persistent = false;
  bool accelerated = false;  ///< runs on /dev/kvm
  std::string architecture;  ///< "x86_64"
  std::string machine;       ///< resolved, versioned: "pc-q35-7.2"
  std::string emulator;      ///< path of the QEMU program
  Bytes memory;
  std::uint32_t vcpus = 0;
  std::string cpu_xml;  ///< the live <cpu> element; empty when there is none
  std::string migratable_xml;
  /// Which kind of VMM has it that registers with migrated by itself ("vmigrate-microvm"); empty: libvirt.
  std::string vmm;
  ByteBuffer vmm_description;  ///< what such a VMM needs to make the same VM: a vmigrate.vmm.Description
  std::vector<Disk> disks;
  std::vector<NetworkInterface> interfaces;
};

/// One thing that stands against a move, as a person is told it.
struct Finding {
  ErrorCode code = ErrorCode::refused;
  std::string what;  ///< "the bridge br7 of interface 52:54:00:… does not exist on hostb"
  std::string hint;  ///< "create it, or …"
};
/// The error, as what stands against the move.
Finding finding_of(const Error& error);

}  // namespace vmigrate::hypervisor
