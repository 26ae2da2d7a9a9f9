#include "daemon/failpoints.hpp"

#include <csignal>

namespace vmigrate::daemon {
namespace {

class FailingJournal : public handover::Journal {
 public:
  FailingJournal(std::unique_ptr<Journal> real, int signal, bool after, std::string state)
      : real_(std::move(real)), signal_(signal), after_(after), state_(std::move(state)) {}

  Result<> write(const handover::Record& record) override {
    const bool here = record.state == state_;
    if (here && !after_) ::raise(signal_);
    auto written = real_->write(record);
    if (here && after_) ::raise(signal_);
    return written;
  }
  Result<std::optional<handover::Record>> find(const MigrationId& migration, handover::Role role) override {
    return real_->find(migration, role);
  }
  Result<std::vector<handover::Record>> unfinished() override { return real_->unfinished(); }
  Result<std::vector<handover::Record>> of_vm(const VmId& vm) override { return real_->of_vm(vm); }

 private:
  const std::unique_ptr<Journal> real_;
  const int signal_;
  const bool after_;
  const std::string state_;
};

/// A misspelt state would be a test that never fails.
bool is_recorded(const std::string& state) {
  handover::Record record;
  record.state = state;
  return handover::source_state(record) || handover::destination_state(record);
}

}  // namespace

Result<std::unique_ptr<handover::Journal>> with_failpoint(std::unique_ptr<handover::Journal> journal,
                                                          const std::string& failpoint) {
  if (failpoint.empty()) return journal;
  const auto first = failpoint.find(':');
  const auto second = failpoint.find(':', first + 1);
  if (second != std::string::npos) {
    const auto action = failpoint.substr(0, first);
    const auto when = failpoint.substr(first + 1, second - first - 1);
    auto state = failpoint.substr(second + 1);
    if ((action == "kill" || action == "stop") && (when == "before" || when == "after") &&
        is_recorded(state)) {
      return std::make_unique<FailingJournal>(std::move(journal), action == "kill" ? SIGKILL : SIGSTOP,
                                              when == "after", std::move(state));
    }
  }
  return fail(ErrorCode::usage, "VMIGRATE_FAILPOINT is '" + failpoint + "'",
              "write it like kill:after:relinquished, or leave it away");
}

}  // namespace vmigrate::daemon
