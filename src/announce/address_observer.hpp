#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "announce/addresses.hpp"
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::announce {

/// The address that a frame of a VM shows to be the VM's own; nothing when it shows none. `frame` may be cut
/// off behind its first kObservedBytes; it is untagged.
///
/// * ARP from `mac`: the sender's address.
/// * Neighbour solicitation: the source; neighbour advertisement: the target.
/// * IPv4 and IPv6: the source, if the hop limit is one that hosts start with (64, 128, 255). One less, and
/// the
///   VM is a router that has forwarded somebody else's packet.
///
/// Link-local IPv6 addresses are taken from advertisements without the router flag only: our own announcement
/// has no router flag, and hosts that hear that about their default router stop using it.
std::optional<IpAddress> address_shown_by(ByteView frame, const MacAddress& mac);

/// How much of a frame address_shown_by() looks at.
constexpr std::size_t kObservedBytes = 86;

/// Listens on a VM's TAP device to what the VM sends, and notes the addresses it uses, without touching it.
/// A filter in the kernel passes its ARP and neighbour discovery, and one of 32 of its other packets, and at
/// most 64 frames are looked at every 100 ms: a VM at full speed costs next to nothing.
class AddressObserver {
 public:
  static Result<std::unique_ptr<AddressObserver>> start(const std::string& tap, const MacAddress& mac);
  AddressObserver(const AddressObserver&) = delete;
  AddressObserver& operator=(const AddressObserver&) = delete;
  ~AddressObserver();

  /// At most kMostAddresses, in the order they were heard.
  std::vector<IpAddress> addresses() const;

 private:
  AddressObserver(FileDescriptor packets, FileDescriptor stop, const MacAddress& mac);
  void listen();
  /// True once there is room for no more addresses.
  bool take_in(ByteView frame);
  bool stopped_within(int milliseconds) const;

  const FileDescriptor packets_;
  const FileDescriptor stop_;
  const MacAddress mac_;
  mutable std::mutex mutex_;
  std::vector<IpAddress> addresses_;
  std::thread thread_;
};

}  // namespace vmigrate::announce
