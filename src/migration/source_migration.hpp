#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "handover/runtime_directory.hpp"
#include "handover/source.hpp"
#include "migration/claims.hpp"
#include "migration/edges.hpp"
#include "migration/link_stalls.hpp"
#include "migration/mailbox.hpp"
#include "migration/peer_link.hpp"
#include "migration/progress_meter.hpp"
#include "migration/progress_watch.hpp"
#include "migration/report.hpp"
#include "pacing/convergence.hpp"
#include "pacing/switchover.hpp"

namespace vmigrate::migration {

struct StartOptions {
  std::string host;  ///< where to
  Milliseconds max_pause{300};
  Rate bandwidth{};  ///< zero: no limit
  bool keep_source_definition = false;
  std::optional<Milliseconds> finish_by;  ///< after the request; then on_stall
  pacing::OnStall on_stall = pacing::OnStall::abort;
  Percent max_slowdown;  ///< as far as it may be slowed before on_stall; zero: never
  std::string requested_by;
};

/// One VM leaving this host: from the checks to the receipt. handover::source decides; this does what it says
/// and tells it what has happened.
///
/// Everything runs on the thread that calls run(). Other threads leave letters.
class SourceMigration {
 public:
  SourceMigration(Edges edges, const MigrationId& id, hypervisor::DomainDescription domain,
                  StartOptions options, std::optional<Claims::Claim> claim, Publish publish);
  /// One that the journal says is not over: an earlier life of this daemon began it.
  SourceMigration(Edges edges, const handover::Record& record, std::optional<Claims::Claim> claim,
                  Publish publish);
  ~SourceMigration();
  SourceMigration(const SourceMigration&) = delete;
  SourceMigration& operator=(const SourceMigration&) = delete;

  /// The whole migration. Returns when it has ended, or after stop().
  void run();

  // From any thread, at any time:
  void cancel();
  /// An administrator's word that the destination cannot run the VM.
  void resolve();
  /// The destination is trusted no more.
  void cut_off();
  /// Lets run() return with everything left as it is, as if the daemon had died.
  void abandon();

 private:
  // The way to the hypervisor's migration, step by step. A failure before the last one leaves the VM
  // untouched.
  Result<> set_out();
  Result<> check_here();
  Result<> reach_destination();
  Result<OfferAnswer> offer();
  Result<> begin();

  // What happens (source_link.cpp: to the link; source_pacing.cpp: to the rounds).
  void apply(const handover::source::Event& event);
  void on_message(const ControlMessage& message);
  void on_link_lost(const Error& why);
  void on_link_stalled(const std::optional<Error>& why);
  void set_reconnect_window(Milliseconds window);
  Milliseconds window_while_stopped() const;
  void look_whether_it_stopped();
  void note_link();
  void on_stream(FileDescriptor qemu);
  void on_vcpus_stopped();
  void on_finish(const hypervisor::FinishCall& call);
  void on_hypervisor_ended(const Result<>& result);
  void on_verdict(const Verdict& verdict);
  void on_progress(const hypervisor::MemoryProgress& memory);
  pacing::SwitchoverTerms terms() const;
  void raise_downtime_limit(std::uint32_t pass);
  bool set_downtime_limit(Milliseconds limit);
  void watch_for_stall(const hypervisor::MemoryProgress& memory);
  void on_stall(const std::string& why);
  void slow_down(Percent slowdown);
  void show_slowdown(Percent slowdown);
  std::string rates_in_words() const;

  // What it leads to. Only `record` can fail for good; the others come back as events, or try again.
  Result<> act(handover::source::Action action);
  Result<> record(const handover::source::State& state);
  /// Soon, but not more often than edges.timing.retry says.
  void retry(std::function<void()> what);
  std::vector<announce::Interface> bridged_interfaces() const;
  void stop_observing();

  // Who runs the VM, and what follows from that (source_outcome.cpp).
  void send_finish_call();
  bool keep_promise_on_record();
  void miss_decision();
  void ask_later();
  void ask();
  void answer_hypervisor_loaded();
  void reclaim_here();
  bool runs_here_against_all_promises();
  void remove_copy_here();
  void confirm();
  void await_refusal();
  void tell_that_it_is_over();

  // What people see (source_report.cpp).
  void introduce();
  std::string label() const;
  std::string abort_reason() const;
  void publish();
  void enter(Phase phase);
  void show_state();
  void doubt(Error why);
  void warn_people();
  void warn_no_more();
  void give_up(Error why);
  void conclude();
  void end(Phase phase);
  Receipt receipt() const;

  /// Who has, or had, this VM here.
  hypervisor::Hypervisor& hypervisor() const { return edges_.hypervisor.for_vms_of(record_.vmm); }

  const Edges edges_;
  const StartOptions options_;
  hypervisor::DomainDescription domain_;
  handover::Record record_;
  const bool recovered_;
  const Publish publish_;
  std::optional<Claims::Claim> claim_;

  handover::source::State state_ = handover::source::Preparing{};
  Report report_;
  bool begun_ = false;  ///< the state machine is in charge
  bool cancel_asked_ = false;
  bool abandoned_ = false;
  bool link_usable_ = true;
  LinkStalls link_stalls_;
  bool window_shortened_ = false;  ///< the VM was seen to stand still
  bool verdict_seen_ = false;
  bool warned_ = false;           ///< by a note at the VM itself
  bool resolved_ = false;         ///< an administrator has decided that the VM runs here
  bool decision_unsure_ = false;  ///< one that does not count may be on disk
  bool observing_ended_ = false;

  std::optional<Result<OfferAnswer>> offer_answer_;
  std::vector<KnownAddresses> addresses_;
  hypervisor::FinishCall finish_call_;
  ByteBuffer destination_answer_;
  Verdict verdict_;  ///< the one that said `running`
  std::optional<ProgressMeter> progress_meter_;
  Bytes destination_memory_;
  Milliseconds downtime_limit_{};
  pacing::Convergence convergence_;
  bool stall_dealt_with_ = false;
  Percent slowdown_;     ///< asked for
  Percent most_slowed_;  ///< that there was

  MonotonicTime started_;
  MonotonicTime warn_at_{};  ///< not sooner: a hypervisor that does not let people be warned is not pressed
  std::optional<MonotonicTime> vcpus_stopped_;
  std::optional<MonotonicTime> finish_sent_;
  std::optional<MonotonicTime> runs_there_;
  MonotonicTime decided_by_{};  ///< what takes the destination longer needs attention
  std::optional<MonotonicTime> retry_at_;
  std::optional<MonotonicTime> last_try_;
  Milliseconds pause_before_retry_{0};
  std::function<void()> retry_;

  // In this order: each uses what stands above it, and is gone before it.
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>(edges_.threads);
  std::optional<handover::RuntimeDirectory> directory_;
  std::unique_ptr<PeerLink> link_;
  std::unique_ptr<hypervisor::OutgoingMove> move_;
  std::shared_ptr<Backlog> backlog_;  // also of the session's thread
  std::unique_ptr<OutgoingCarrier> stream_;
  std::unique_ptr<ProgressWatch> watch_;
};

}  // namespace vmigrate::migration
