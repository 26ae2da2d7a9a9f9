#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "migration/claims.hpp"
#include "migration/destination_migration.hpp"
#include "migration/edges.hpp"
#include "migration/peer_link.hpp"
#include "migration/places.hpp"

namespace vmigrate::migration {

/// A session that another daemon has opened: its first message says what it wants. Everything runs on the
/// thread that calls run(); only an offer that is taken up lasts longer than a moment.
class Visitor {
 public:
  /// Tells all that arrives here, or has arrived.
  using TellOthers = std::function<void(const SourceLeft&)>;
  /// `place`: of the session, until it turns out to bring a VM, which has one of `arriving`.
  Visitor(Edges edges, Claims& claims, Places& arriving, Places::Place place,
          std::unique_ptr<peer::Session> session, std::string version, Publish publish,
          TellOthers tell_others);
  ~Visitor();
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;

  void run();
  /// Once that is over.
  bool brings_vm() const { return destination_.has_value(); }
  /// From any thread: lets run() return with everything left as it is, as if the daemon had died.
  void abandon();
  /// From any thread.
  void on_source_left(const SourceLeft& left);
  /// From any thread: the host at the other end is trusted no more.
  void cut_off();

 private:
  void serve(const Offer& offer);
  void serve(const Ask& ask);
  void serve(const Confirmed& confirmed);
  void serve(const Ping& ping);
  void serve(const AskHeads& ask);
  template <class Other>
  void serve(const Other& other);
  void refuse(const Offer& offer, const Error& why);
  void note(std::string action, std::string result, audit::Keep keep, std::string reason = {});
  handover::Outcome outcome_now(const handover::Record& record);
  Verdict verdict_of(const MigrationId& migration);

  // Given back when all else is gone.
  std::optional<Places::Place> session_place_;
  std::optional<Places::Place> vm_place_;
  const Edges edges_;
  Claims& claims_;
  Places& arriving_vms_;
  const std::string version_;
  const Publish publish_;
  const TellOthers tell_others_;
  std::optional<ControlMessage> first_;
  bool lost_ = false;
  bool abandoned_ = false;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>(edges_.threads);
  PeerLink link_;
  std::optional<DestinationMigration> destination_;
  std::atomic<DestinationMigration*> arriving_ = nullptr;  ///< the same, for other threads
};

}  // namespace vmigrate::migration
