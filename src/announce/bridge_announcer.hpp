#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "announce/address_observer.hpp"
#include "announce/announcer.hpp"
#include "announce/repetitions.hpp"
#include "announce/schedule.hpp"

namespace vmigrate::announce {

struct BridgeAnnouncerOptions {
  /// Times of the announcements from the start; the first is 0. Ascending.
  std::vector<Milliseconds> schedule = announcement_schedule();
  /// Where libvirt's dnsmasq keeps its leases, one `<bridge>.status` a network.
  std::string lease_directory = "/var/lib/libvirt/dnsmasq";
};

/// Announces VMs on Linux bridges of the network namespace it is created in. Needs CAP_NET_ADMIN and
/// CAP_NET_RAW, and CAP_BPF to do it the better way (see FrameInjector). Thread-safe.
///
/// An announcement makes the local bridge forward to the VM's port first, so that answers to the frames it
/// then sends find the VM.
class BridgeAnnouncer : public Announcer {
 public:
  explicit BridgeAnnouncer(BridgeAnnouncerOptions options = {});
  BridgeAnnouncer(const BridgeAnnouncer&) = delete;
  BridgeAnnouncer& operator=(const BridgeAnnouncer&) = delete;
  /// Ends what is still being repeated, without waiting for its turn.
  ~BridgeAnnouncer() override;

  /// Addresses that cannot be announced are left out, and so are those after kMostAddresses. An interface
  /// whose port does not forward yet is an error, but is repeated.
  std::vector<Result<Announced>> announce(std::vector<Interface> interfaces) override;
  std::vector<std::string> addresses_of(const std::string& mac, const std::string& bridge) override;
  Result<> observe(const Interface& interface) override;
  void forget(const std::string& mac) override;

 private:
  Result<Announced> announce_one(const Interface& interface);
  void repeat();

  const BridgeAnnouncerOptions options_;
  /// Held while frames are sent, so that forget() can promise that none follow.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  Repetitions repetitions_;
  std::map<MacAddress, std::unique_ptr<AddressObserver>> observers_;
  /// Ended by the thread: closing their sockets takes the kernel tens of milliseconds each, and forget() is
  /// called while a VM is paused.
  std::vector<std::unique_ptr<AddressObserver>> retired_observers_;
  std::thread thread_;
};

}  // namespace vmigrate::announce
