#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "handover/destination.hpp"
#include "handover/source.hpp"

namespace vmigrate::handover {

enum class Role { source = 1, destination = 2 };
std::string_view to_string(Role role);

/// What this host has promised about one migration: one row of the journal, rewritten as the promise changes.
struct Record {
  MigrationId migration;
  Role role = Role::source;
  VmId vm;
  std::string vm_name;
  /// Counts this host's moves of this VM, away and here, so that an old promise is known to be old.
  std::uint64_t epoch = 0;
  std::string peer;   ///< the other host
  std::string state;  ///< name() of the state machine's state
  /// Running (rather than paused by an administrator) when the migration began, and so afterwards.
  bool runs = true;
  /// Source: the definition stays when the VM has gone. Destination: there was one before the VM came.
  bool keeps_definition = false;
  /// Destination, what a source that asks is told: the hypervisor's answer (running) or the reason (refused).
  std::string result{};
  /// Which VMM has the VM; empty: libvirt has, or the record is older than this is written down.
  std::string vmm{};

  bool operator==(const Record&) const = default;
};

/// The state to start again from after a restart; the names in the journal are those of states that are
/// recorded.
Result<source::State> source_state(const Record& record);
Result<destination::State> destination_state(const Record& record);
/// What a source that asks is told from the record alone, while no migration object holds it.
Outcome outcome_of(const Record& record);

/// Committed here and gone since: whether it has run, and whose it is, a person decides.
bool is_in_doubt(const Record& record);
/// Committed here, and the source's again by a person's word before it was known to run here.
bool is_taken_back(const Record& record);

/// The durable memory of promises. Thread-safe.
class Journal {
 public:
  virtual ~Journal() = default;
  /// On return the record is on disk, or it is an error and must be taken as not written.
  virtual Result<> write(const Record& record) = 0;
  virtual Result<std::optional<Record>> find(const MigrationId& migration, Role role) = 0;
  /// Every record that still asks for something to be done or decided here, the oldest first. One that a
  /// later epoch of its VM has come after does not: that its end could not be written makes it no promise
  /// again.
  virtual Result<std::vector<Record>> unfinished() = 0;
  /// All of one VM, the highest epoch first.
  virtual Result<std::vector<Record>> of_vm(const VmId& vm) = 0;
  /// The highest epoch of a VM; 0 when there is none.
  Result<std::uint64_t> last_epoch(const VmId& vm);
};

/// Opens (and creates) the journal file, SQLite in WAL mode with full sync.
Result<std::unique_ptr<Journal>> open_journal(const std::string& path);

}  // namespace vmigrate::handover
