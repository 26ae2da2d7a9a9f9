#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "handover/destination.hpp"
#include "handover/runtime_directory.hpp"
#include "migration/claims.hpp"
#include "migration/edges.hpp"
#include "migration/link_stalls.hpp"
#include "migration/mailbox.hpp"
#include "migration/peer_link.hpp"
#include "migration/report.hpp"

namespace vmigrate::migration {

/// What a source that opens a new session says by that: either has to be the same for a migration to be
/// meant.
struct SourceLeft {
  std::string host;
  std::optional<VmId> vm{};
  std::optional<MigrationId> migration{};
  bool taken_back =
      false;  ///< the source has its VM again; after its promise by an administrator's word only
};

/// One VM arriving at this host: from the offer to the verdict. handover::destination decides; this does what
/// it says and tells it what has happened.
///
/// Everything runs on the thread that calls run(), which is the one that opens the mailbox's letters.
class DestinationMigration {
 public:
  /// `link` delivers into `mailbox`, and its events are to be passed on to the on_... functions below.
  DestinationMigration(Edges edges, Offer offer, std::optional<Claims::Claim> claim, PeerLink& link,
                       std::shared_ptr<Mailbox> mailbox, Publish publish);
  /// One that the journal says is not over, and what it is to go on with; there is no link.
  DestinationMigration(Edges edges, const handover::Record& record, handover::destination::Event event,
                       std::optional<Claims::Claim> claim, Publish publish);
  ~DestinationMigration();
  DestinationMigration(const DestinationMigration&) = delete;
  DestinationMigration& operator=(const DestinationMigration&) = delete;

  /// The whole migration. Returns when this side has nothing more to do for it.
  void run();

  void on_message(const ControlMessage& message);
  void on_hypervisor_message(ByteBuffer bytes);
  void on_link_lost(const Error& why);
  void on_link_stalled(const std::optional<Error>& why);

  /// From any thread: the source has given up the session of a migration of this VM, or of this migration. If
  /// the link stalls, nobody will come back.
  void on_source_left(const SourceLeft& left);
  /// From any thread: lets run() return with everything left as it is, as if the daemon had died.
  void abandon();

 private:
  Result<std::vector<hypervisor::Finding>> check();
  Result<> reserve();
  void answer_offer(std::vector<hypervisor::Finding> findings);

  void apply(const handover::destination::Event& event);
  void record_later();
  void on_prepared();
  void say_taken(std::uint64_t stream_bytes);
  void on_stream_failed(const Error& why);
  void source_has_left();
  void on_finish(const Finish& finish);

  // Only `record` can fail for good; the others come back as events, or try again.
  Result<> act(handover::destination::Action action);
  Result<> record(const handover::destination::State& state);
  void tell_source();
  void retry(std::function<void()> what);

  // The VM that has arrived is run, or nothing is left of it (destination_outcome.cpp).
  void finish_incoming();
  void resume_here();
  void announce_here();
  void discard_here();
  Result<> discard_leftover();

  // What people see (destination_report.cpp).
  std::string label() const;
  void introduce();
  void show_state();

  /// Who has, or had, this VM here.
  hypervisor::Hypervisor& hypervisor() const { return edges_.hypervisor.for_vms_of(record_.vmm); }

  const Edges edges_;
  const Offer offer_;
  handover::Record record_;
  const std::optional<handover::destination::Event> recovered_by_;
  const Publish publish_;
  std::optional<Claims::Claim> claim_;
  const std::shared_ptr<Mailbox> mailbox_;
  PeerLink* const link_;

  handover::destination::State state_ = handover::destination::Reserved{};
  Report report_;
  bool begun_ = false;  ///< the state machine is in charge
  bool link_usable_;
  LinkStalls link_stalls_;
  bool unwritten_ = false;  ///< the journal still has an earlier state
  bool abandoned_ = false;
  std::atomic<bool> taken_back_ = false;  ///< see SourceLeft

  Finish finish_;
  ByteBuffer hypervisor_answer_;
  std::vector<AnnouncedInterface> announcements_;
  std::optional<MonotonicTime> finish_received_;
  std::optional<MonotonicTime> arrived_;  ///< all of the stream
  std::optional<MonotonicTime> loaded_;
  std::optional<MonotonicTime> vcpus_run_;
  std::optional<MonotonicTime> retry_at_;
  std::function<void()> retry_;

  // The stream writes into what the move made, and is gone before it.
  std::optional<handover::RuntimeDirectory> directory_;
  std::unique_ptr<hypervisor::IncomingMove> move_;
  std::unique_ptr<IncomingCarrier> stream_;
};

}  // namespace vmigrate::migration
