#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "migration/claims.hpp"
#include "migration/edges.hpp"
#include "migration/places.hpp"
#include "migration/report.hpp"
#include "migration/source_migration.hpp"

namespace vmigrate::migration {

class DestinationMigration;
struct SourceLeft;
class Visitor;

/// All the migrations of this host, in both directions. Thread-safe.
class Manager {
 public:
  /// `version` is what a peer that asks is told.
  Manager(Edges edges, std::string version, Publish publish);
  /// Lets every migration be, as if the daemon had died; the journal knows how to go on.
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Goes on with what an earlier life of this daemon left. Call once, before anything else.
  Result<> recover();

  /// Begins to move a VM, by name or UUID, and returns at once.
  Result<MigrationId> start(const std::string& vm, StartOptions options);
  /// Asks for the end of a migration that leaves this host. How it ends is in its reports.
  Result<> cancel(const MigrationId& migration);
  /// An administrator has made sure that `fenced_host`, the other one, cannot run a VM that is in doubt here.
  Result<> resolve(const MigrationId& migration, const std::string& fenced_host);
  /// Lets a VM be started here that was handed over for good, of which the definition was kept.
  Result<> take_back(const MigrationId& migration, const std::string& fenced_host);

  /// Everything that stands against moving the VM to that host. Changes nothing.
  Result<std::vector<hypervisor::Finding>> check(const hypervisor::DomainDescription& domain,
                                                 const std::string& host);
  /// The version of the daemon there.
  Result<std::string> ping(const std::string& host);
  /// What the daemon there has noted of this host's audit trail. It notes the newest entry of today, too.
  Result<std::vector<audit::Head>> audit_heads(const std::string& host);

  /// That host is trusted no more: sessions with it end as if the link to it had died.
  void cut_off(const std::string& host);

  /// For each session that another daemon opens.
  void accept(std::unique_ptr<peer::Session> session);

  /// No new migrations from now on; cancels those that leave this host and can still be cancelled, and waits
  /// for them, at most so long.
  void wind_down(Milliseconds patience);

 private:
  struct Task {
    std::shared_ptr<SourceMigration> source;
    std::shared_ptr<Visitor> visitor;
    std::shared_ptr<DestinationMigration> recovered;
    MigrationId migration;
    std::string peer;
    bool finished = false;
    std::unique_ptr<Thread> thread;
  };

  /// A record that says whose a VM is, and the VM.
  struct Decided {
    handover::Record record;
    Claims::Claim claim;
  };
  /// Errors: not_found (there is nothing to decide), refused (the other host is another one; or the VM
  /// moves).
  Result<Decided> take(const MigrationId& migration, handover::Role role,
                       bool (*needs_a_decision)(const handover::Record&), const std::string& fenced_host);
  Result<> take_over(const MigrationId& migration, const std::string& fenced_host);
  Result<> is_defined(const handover::Record& record) const;
  /// What is in doubt here was decided at its source.
  void give_up(const MigrationId& migration, const std::string& source);
  void go_on_with(const handover::Record& record, handover::destination::Event event,
                  std::optional<Claims::Claim> claim);
  /// Runs `work` on a thread of its own, named after what it does.
  void run(Task task, std::string name, std::function<void()> work);
  void release(Task& task);
  void on_source_left(const SourceLeft& left);
  void reap();
  bool is_winding_down();
  std::shared_ptr<SourceMigration> find_source(const MigrationId& migration, std::string* peer);

  const Edges edges_;
  const std::string version_;
  const Publish publish_;
  Claims claims_;
  Places arriving_;
  Places sessions_;  // of other hosts, that bring no VM or have not said so yet
  std::mutex mutex_;
  const std::unique_ptr<Condition> finished_;
  bool winding_down_ = false;
  bool buffers_are_left_ = false;  // of moves, in what the allocator keeps
  std::list<Task> tasks_;
};

}  // namespace vmigrate::migration
