#pragma once

#include <memory>
#include <string>

#include "handover/journal.hpp"
#include "hypervisor/hypervisor.hpp"
#include "peer/session.hpp"

namespace vmigrate::daemon {

class Failpoint;

/// Makes the daemon kill or stop itself at one point, once, for tests of what then happens:
/// VMIGRATE_FAILPOINT=ACTION:WHEN:POINT with ACTION kill or stop (SIGKILL, SIGSTOP), WHEN before or after,
/// and POINT one of
///
/// * a promise, as the journal names it: "relinquished";
/// * a message to or from the other host: "sending finish", "receiving verdict". What has been sent may be
/// still on its
///   way to the network;
/// * a byte of the memory lane, from 1: "sending byte 1000000", "receiving byte 1000000";
/// * what the hypervisor tells: "stream connected", "finish requested", "ended" where a VM leaves,
/// "prepared", "failed"
///   where it arrives.
///
/// Goes around the edges at which these are seen; without a point they stay as they are.
class Failpoints {
 public:
  /// Empty: none.
  static Result<Failpoints> parse(const std::string& failpoint);

  std::unique_ptr<handover::Journal> around(std::unique_ptr<handover::Journal> journal) const;
  std::unique_ptr<peer::Session> around(std::unique_ptr<peer::Session> session) const;
  std::unique_ptr<peer::Dialer> around(std::unique_ptr<peer::Dialer> dialer) const;
  /// `hypervisor` has to live as long as this.
  hypervisor::Hypervisor& around(hypervisor::Hypervisor& hypervisor);

 private:
  std::shared_ptr<Failpoint> point_;
  std::shared_ptr<hypervisor::Hypervisor> hypervisor_;
};

}  // namespace vmigrate::daemon
