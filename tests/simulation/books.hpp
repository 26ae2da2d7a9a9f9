#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "handover/journal.hpp"
#include "stage.hpp"

namespace vmigrate::simulation {

/// The journals of both hosts as their disks have them, and the judge of what is written into them.
class Books {
 public:
  explicit Books(Stage stage);

  handover::Journal& on_disk(Side side) { return *journals_[static_cast<std::size_t>(side)]; }
  /// The daemon's way there, for one life of it.
  std::unique_ptr<handover::Journal> open(Side side);
  /// Some write was said to have failed.
  bool has_failed() const { return failed_; }
  /// One of `started` was, and is there: see docs/handover-model.md.
  bool was_unsure() const { return unsure_; }
  void resolved(const MigrationId& migration) { resolved_.insert(migration); }
  std::optional<std::string> state_of(Side side, const MigrationId& migration, handover::Role role);

 private:
  friend class SimulatedJournal;
  Result<> write(Side side, const handover::Record& record);
  Result<> put(Side side, const handover::Record& record);
  /// Rules of docs/handover-model.md about what may follow what.
  void judge(Side side, const handover::Record& record);
  void judge_source(Side side, const handover::Record& record, const std::string& before);
  void judge_destination(Side side, const handover::Record& record, const std::string& before);

  const Stage stage_;
  std::array<std::unique_ptr<handover::Journal>, 2> journals_;
  std::array<std::optional<handover::Record>, 2> held_back_;
  bool failed_ = false;
  bool unsure_ = false;
  std::set<MigrationId> resolved_;
};

}  // namespace vmigrate::simulation
