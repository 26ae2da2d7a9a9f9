#pragma once

#include <memory>
#include <string>

#include "announce/announcer.hpp"
#include "audit/trail.hpp"
#include "base/threads.hpp"
#include "base/units.hpp"
#include "handover/journal.hpp"
#include "hypervisor/hypervisor.hpp"
#include "migration/carriers.hpp"
#include "migration/permission.hpp"
#include "peer/session.hpp"

namespace vmigrate::migration {

/// How long to wait for what. Tests shorten them; nothing's correctness rests on them.
struct Timing {
  Milliseconds answer{30'000};     ///< a destination checks an offer: it may have to ask its hypervisor a lot
  Milliseconds question{5'000};    ///< a short question to another daemon
  Milliseconds retry{1'000};       ///< between two tries of what must succeed in the end, at most
  Milliseconds claim{10'000};      ///< an earlier migration of the same VM clears away what is left of it
  Milliseconds progress{250};      ///< between two progress reports
  Milliseconds decision{15'000};   ///< a destination loads and starts what it has been given
  Milliseconds reconnect{60'000};  ///< a link that is lost is tried again, while the VM runs
  Milliseconds reconnect_stopped{3'000};  ///< likewise while it stands still
  Milliseconds drain{5'000};              ///< bytes that both hosts have counted are on their way to QEMU
};

/// What a migration works with: the edges of the system, and this host's name and folder.
struct Edges {
  hypervisor::Hypervisor& hypervisor;
  peer::Dialer& dialer;
  handover::Journal& journal;
  announce::Announcer& announcer;
  Carriers& carriers;
  const Clock& clock;
  Threads& threads;
  std::string host;
  std::string runtime_folder;
  Timing timing{};
  Bytes memory{std::uint64_t{128} << 20};  ///< that a migration may take here
  std::shared_ptr<const Permission> permission = std::make_shared<Permission>();
  std::shared_ptr<audit::Trail> audit = std::make_shared<audit::NoTrail>();
};

}  // namespace vmigrate::migration
