#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "base/units.hpp"
#include "handover/journal.hpp"
#include "migration/messages.hpp"

namespace vmigrate::migration {

/// Where a migration stands, as people see it. The numbers are those of control.proto.
enum class Phase {
  check = 1,
  prepare = 2,
  memory = 3,
  switchover = 4,  ///< the VM is stopped
  clean_up = 5,    ///< the VM runs again, here or there
  completed = 6,
  failed = 7,     ///< the VM is as it was, on the source
  cancelled = 8,  ///< likewise
  needs_attention = 9,
};
std::string_view to_string(Phase phase);
constexpr bool has_ended(Phase phase) {
  return phase == Phase::completed || phase == Phase::failed || phase == Phase::cancelled;
}

/// What the link between the hosts was like.
struct LinkReport {
  struct Outage {
    Milliseconds so_far{};
    Milliseconds window{};  ///< for which it is tried again
    std::string why;
  };
  std::uint32_t stalls = 0;      ///< how often connections were lost and tried again
  Milliseconds stalled{};        ///< for how long, in sum
  std::optional<Outage> outage;  ///< that is going on
};

struct Progress {
  std::uint32_t memory_pass = 0;
  Bytes memory_total;
  Bytes memory_processed;
  Bytes memory_remaining;
  Rate guest_rate;  ///< guest memory, over the last second or so
  Rate wire_rate;   ///< bytes between the hosts, likewise
  Rate dirty_rate;
  bool converging = true;
  std::optional<Milliseconds> time_left;  ///< until the switchover
  std::optional<Milliseconds> pause;      ///< as things stand
  Milliseconds max_pause{};
  Milliseconds elapsed{};
  Percent slowdown;             ///< the share of time that the VM is kept from running
  std::string slowdown_reason;  ///< empty when it is not slowed
  LinkReport link{};
};

/// What a completed migration cost. All times but `arrival`, `load` and `start` are on the source's clock.
struct Receipt {
  Milliseconds total{};       ///< from the request until the VM ran on the destination
  Milliseconds pause{};       ///< from the stop here until the start there
  Milliseconds last_pages{};  ///< part of the pause: until the source's hypervisor had sent everything
  Milliseconds arrival{};     ///< part of the pause: until they had arrived
  Milliseconds load{};        ///< part of the pause: the destination's hypervisor loads it
  Milliseconds start{};       ///< part of the pause: until its vCPUs run
  Milliseconds release{};     ///< after the start, until the copy here was gone
  Bytes guest_bytes;
  Bytes wire_bytes;
  std::uint32_t passes = 0;
  Percent slowdown;                            ///< the most that the VM was slowed
  std::optional<Milliseconds> expected_pause;  ///< the last forecast before the stop
  std::uint32_t link_stalls = 0;               ///< how often the link was lost and came back
  Milliseconds link_stalled{};                 ///< for how long, in sum
  bool memory_verified =
      false;  ///< both hosts summed up the same stream; the destination starts nothing else
  std::vector<AnnouncedInterface> announcements;
};

/// Everything there is to say about a migration, at one moment.
struct Report {
  MigrationId id;
  VmId vm;
  std::string vm_name;
  std::string vmm;  ///< which has it; empty: libvirt
  handover::Role role = handover::Role::source;
  std::string source_host;
  std::string destination_host;
  std::string requested_by;
  Phase phase = Phase::check;
  std::chrono::system_clock::time_point started;
  std::optional<std::chrono::system_clock::time_point> ended;
  Progress progress;
  std::optional<Receipt> receipt;
  std::optional<Error> error;
  std::string vm_runs_on;  ///< a host's name; empty when nobody can say
};

/// Called with every change worth showing, from the migration's own thread.
using Publish = std::function<void(const Report&)>;

}  // namespace vmigrate::migration
