#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"

/// Tells the network where a VM's interfaces are now.
namespace vmigrate::announce {

/// One interface of a VM that has just started to run here.
struct Interface {
  std::string mac;                     ///< "52:54:00:12:34:56"
  std::string bridge;                  ///< Linux bridge on this host
  std::string tap;                     ///< the bridge port that leads to the VM
  std::uint16_t vlan = 0;              ///< 0: untagged
  std::vector<std::string> addresses;  ///< IPv4 and IPv6 that the source knew
};

/// What was sent, for the receipt.
struct Announced {
  std::string mac;
  std::uint32_t frames = 0;  ///< in the first burst
  std::vector<std::string> addresses;
};

class Announcer {
 public:
  virtual ~Announcer() = default;
  /// Sends the first frames of every interface before it returns, and goes on repeating them in the
  /// background until the schedule is through. An interface that cannot be announced is an error for itself
  /// only.
  virtual std::vector<Result<Announced>> announce(std::vector<Interface> interfaces) = 0;
  /// The addresses that this host knows for a MAC: neighbour tables, leases, and what observe() has heard.
  virtual std::vector<std::string> addresses_of(const std::string& mac, const std::string& bridge) = 0;
  /// At the source, from the start of a migration: listens to which addresses the VM behind `interface.tap`
  /// uses, so that addresses_of() can tell them. Until forget().
  virtual Result<> observe(const Interface& /*interface*/) { return {}; }
  /// The VM does not run here (any more): ends listening and repetition. After it has returned, nothing more
  /// is sent for this MAC. At the source this has to be before another host may start the VM: announcements
  /// that are still being repeated from when it came here would send its frames back to this host.
  virtual void forget(const std::string& /*mac*/) {}
};

}  // namespace vmigrate::announce
