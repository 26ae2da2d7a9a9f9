#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/units.hpp"
#include "trust/access_rules.hpp"
#include "trust/move_rules.hpp"

namespace vmigrate::daemon {

/// Where migrated listens when the configuration says nothing else.
inline constexpr std::uint16_t kDefaultPort = 16510;

/// What migrated.toml says, checked and complete. migrated.toml(5) explains every option; the values here are
/// the defaults.
struct Configuration {
  struct {
    std::string name;  ///< this host's, as others know it; default: the system's host name
  } host;
  struct {
    std::string address = "0.0.0.0";
    std::uint16_t port = kDefaultPort;
  } listen;
  struct {
    std::string certificate;  ///< with the key; empty: one that the daemon makes for itself
    std::string key;
    std::string ca;  ///< empty: only hosts that are paired are known
  } tls;
  struct {
    std::string control_socket = "/run/vmigrate/migrated.sock";
    std::string vmm_socket = "/run/vmigrate/vmms.sock";
    std::string runtime = "/run/vmigrate";
    std::string state = "/var/lib/vmigrate";
  } paths;
  struct {
    std::string group = "libvirt";  ///< empty: the daemon's own
  } control;
  trust::AccessRules allow;
  trust::MoveRules send{trust::MoveRules::Direction::send};
  trust::MoveRules receive{trust::MoveRules::Direction::receive};
  struct {
    bool libvirt = true;           ///< false: this host has only VMs of VMMs that register
    std::string rpc_socket;        ///< of the libvirt daemon; empty: found
    bool lossy_emulation = false;  ///< true: emulated VMs are moved although QEMU may lose memory of theirs
  } hypervisor;
  struct {
    Milliseconds max_pause{300};
    Rate bandwidth{};                        ///< zero: no limit
    Bytes memory{std::uint64_t{128} << 20};  ///< of this daemon, for each migration
    Milliseconds reconnect_window{60'000};   ///< while the VM runs
    Milliseconds stopped_window{3'000};      ///< while it stands still
  } migration;
  struct {
    std::string level = "info";
  } log;

  struct Peer {
    std::string host;  ///< name or address, without brackets
    std::uint16_t port = kDefaultPort;
    std::string address;  ///< both, for people: "10.0.0.2:16510", "[fd00::2]:16510"
  };
  /// By name. This host itself is left out, so that all hosts can share one list.
  std::map<std::string, Peer> peers;
};

/// Host names are typed, logged and compared with certificates: only some letters are possible.
Result<> check_host_name(const std::string& name);
/// "host", "host:port", "[IPv6]", "[IPv6]:port", or an IPv6 address alone.
Result<Configuration::Peer> parse_peer(const std::string& text);

/// An error says file and line, what is wrong and what is possible there.
Result<Configuration> load_configuration(const std::string& path);
/// The same for text; `file` is for messages only.
Result<Configuration> parse_configuration(std::string_view text, const std::string& file);

}  // namespace vmigrate::daemon
