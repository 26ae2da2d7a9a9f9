#pragma once

#include <cstdint>
#include <optional>

#include "kvm/answers.hpp"
#include "kvm/connection.hpp"
#include "kvm/guards.hpp"
#include "kvm/machine_parts.hpp"
#include "kvm/page_copier.hpp"
#include "kvm/stream_output.hpp"
#include "pacing/convergence.hpp"
#include "pacing/switchover.hpp"

namespace vmigrate::kvm {

/// One Machine::send().
class Sender {
 public:
  Sender(MachineParts& machine, int socket, const SendOptions& options, const Cancellation& cancellation);
  Result<SendReport> run();

 private:
  /// What to do when a round has been copied.
  enum class Next { another_round, stop };

  Result<> agree();
  Result<> begin_tracking();
  Result<> copy_until_little_is_left();
  Result<> copy_round();
  Result<Next> decide();
  void note_rate(std::uint64_t pages, std::uint64_t zero_pages, std::chrono::nanoseconds duration);
  Result<> stop_and_copy(PausedGuest& guest);
  Result<State> save_state();
  Result<> send_state(State state);
  Result<> hear_of_refusal();
  Result<> await_loaded();

  std::uint32_t round() const { return static_cast<std::uint32_t>(report_.rounds.size()) + 1; }
  void report_progress(bool stopped);

  MachineParts& machine_;
  const SendOptions options_;
  Connection connection_;
  AnswerReader answers_;
  StreamOutput output_;
  Needs needs_;
  SendReport report_;
  std::optional<PageCopier> copier_;
  std::unique_ptr<DirtyTracker> tracker_;
  SlowedGuest slowed_;
  pacing::Convergence convergence_;
  MonotonicTime deadline_;  ///< of the pause
  Rate rate_;               ///< at which pages with content go
};

}  // namespace vmigrate::kvm
