#include "books.hpp"

#include <set>

#include <fmt/format.h>

#include "memory_journal.hpp"

namespace vmigrate::simulation {

using handover::Record;
using handover::Role;
using hypervisor::DomainState;

namespace {

bool may_follow(Role role, const std::string& before, const std::string& after) {
  static const std::set<std::pair<std::string, std::string>> kSource{{"", "preparing"},
                                                                     {"preparing", "relinquished"},
                                                                     {"preparing", "reclaimed"},
                                                                     {"relinquished", "confirmed"},
                                                                     {"relinquished", "reclaimed"},
                                                                     {"relinquished", "reclaiming"},
                                                                     {"reclaiming", "relinquished"},
                                                                     {"reclaiming", "reclaimed"}};
  static const std::set<std::pair<std::string, std::string>> kDestination{
      {"", "reserved"},
      {"reserved", "started"},
      {"reserved", "refused"},
      {"started", "running"},
      {"started", "in doubt"},
      {"in doubt", "refusing"},
      {"started", "refusing"},
      {"refusing", "refused"},
      {"in doubt", "done"},
      {"running", "done"},
      // That it ran could not be written, and then the source said that it knew.
      {"started", "done"}};
  return before == after || (role == Role::source ? kSource : kDestination).contains({before, after});
}

/// The real journal now and then, and one that is as good and fast for most schedules.
std::unique_ptr<handover::Journal> open_disk(bool real) {
  if (!real) return std::make_unique<MemoryJournal>();
  return std::move(handover::open_journal(":memory:").value());
}

}  // namespace

/// What one life of a daemon has of its journal.
class SimulatedJournal : public handover::Journal {
 public:
  SimulatedJournal(Books& books, const Stage& stage, Side side) : books_(books), stage_(stage), side_(side) {}

  Result<> write(const Record& record) override {
    if (!stage_.scheduler.may_wait()) return failed();
    stage_.chaos.point(side_, "before write " + record.state);
    stage_.scheduler.pause(stage_.scheduler.some_time());
    // Found at a restart, a commit counts that was said not to have been written.
    const bool was_started = books_.state_of(side_, record.migration, record.role) == "started";
    if (was_started && record.state == "running") stage_.world.commit(side_);
    auto written = books_.write(side_, record);
    if (written && record.state == "started") stage_.world.commit(side_);
    if (written) written_[{record.migration, record.role}] = record;
    stage_.chaos.point(side_, fmt::format("after {} {}", written ? "write" : "failed write", record.state));
    return written;
  }
  Result<std::optional<Record>> find(const MigrationId& migration, Role role) override {
    if (!reads()) return fail(failed().error());
    if (stage_.mutation == Mutation::answers_from_memory && role == Role::destination) {
      const auto found = written_.find({migration, role});
      return found == written_.end() ? std::nullopt : std::optional(found->second);
    }
    return books_.on_disk(side_).find(migration, role);
  }
  Result<std::vector<Record>> unfinished() override {
    // A daemon that cannot read it at its start is started again until it can: nothing to be seen there.
    stage_.chaos.point(side_, "reads its journal");
    return books_.on_disk(side_).unfinished();
  }
  Result<std::vector<Record>> of_vm(const VmId& vm) override {
    if (!reads()) return fail(failed().error());
    return books_.on_disk(side_).of_vm(vm);
  }

 private:
  static Result<> failed() { return fail(ErrorCode::failed, "the disk does not work"); }
  bool reads() {
    if (!stage_.scheduler.may_wait()) return false;
    stage_.chaos.point(side_, "reads a record");
    return !stage_.chaos.journal_fails(side_) || stage_.scheduler.random().one_in(2);
  }

  Books& books_;
  const Stage stage_;
  const Side side_;
  std::map<std::pair<MigrationId, Role>, Record> written_;
};

Books::Books(Stage stage) : stage_(stage) {
  const bool real = stage_.scheduler.random().one_in(16);
  for (auto& journal : journals_) journal = open_disk(real);
}

std::unique_ptr<handover::Journal> Books::open(Side side) {
  held_back_[static_cast<std::size_t>(side)].reset();
  return std::make_unique<SimulatedJournal>(*this, stage_, side);
}

Result<> Books::write(Side side, const Record& record) {
  const auto error = fail(ErrorCode::failed, "the disk is full");
  if (stage_.chaos.journal_fails(side)) {
    failed_ = true;
    if (!stage_.chaos.is_journal_unsure(side)) return error;
    unsure_ = unsure_ || record.state == "started";
    (void)put(side, record);
    return error;
  }
  auto& held_back = held_back_[static_cast<std::size_t>(side)];
  switch (stage_.mutation) {
    case Mutation::promise_not_written:
      if (record.state == "relinquished") return {};
      break;
    case Mutation::commit_not_written:
      if (record.state == "started") return {};
      break;
    case Mutation::no_tombstone:
      if (record.state == "refused") return {};
      break;
    case Mutation::commit_written_late:
      if (record.state == "started") {
        held_back = record;
        return {};
      }
      if (held_back) (void)put(side, *std::exchange(held_back, std::nullopt));
      break;
    default: break;
  }
  return put(side, record);
}

Result<> Books::put(Side side, const Record& record) {
  // A mutation is to be found by the harm that it does.
  if (stage_.mutation == Mutation::none) judge(side, record);
  return on_disk(side).write(record);
}

std::optional<std::string> Books::state_of(Side side, const MigrationId& migration, Role role) {
  const auto record = on_disk(side).find(migration, role);
  if (!record || !*record) return std::nullopt;
  return (*record)->state;
}

void Books::judge(Side side, const Record& record) {
  const auto before = state_of(side, record.migration, record.role).value_or("");
  // What was said not to be written, and is, may be followed by what follows what was there before.
  const bool unsure = unsure_ || stage_.chaos.is_journal_unsure(side);
  if (!may_follow(record.role, before, record.state) && !unsure) {
    stage_.world.violate(
        fmt::format("the journal of {} has '{}' after '{}'", name_of(side), record.state, before));
  }
  const auto last = on_disk(side).last_epoch(record.vm);
  // The end of an earlier one may be written late, when it was forgotten meanwhile.
  const bool begins = record.state == "reserved" || record.state == "preparing";
  if (begins && before.empty() && last && record.epoch <= *last)
    stage_.world.violate(fmt::format("the epoch {} comes twice on {}", record.epoch, name_of(side)));
  if (record.role == Role::source)
    judge_source(side, record, before);
  else
    judge_destination(side, record, before);
}

void Books::judge_source(Side side, const Record& record, const std::string& before) {
  const auto there = state_of(other(side), record.migration, Role::destination).value_or("");
  const bool committed = there == "started" || there == "running" || there == "done" || there == "in doubt";
  if (record.state == "reclaimed" && committed && !unsure_ && !resolved_.contains(record.migration))
    stage_.world.violate(fmt::format("reclaimed on {}, and '{}' on the other", name_of(side), there));
  if (record.state == "reclaimed" && before == "relinquished" && committed && !unsure_)
    stage_.world.violate(fmt::format("decided on {} without a record of it", name_of(side)));
  if (record.state == "reclaimed" && before == "relinquished" && there.empty())
    stage_.world.violate("reclaimed after the promise, of which the other host knows nothing");
  if (record.state == "confirmed" && !committed)
    stage_.world.violate(fmt::format("confirmed on {}, and '{}' on the other", name_of(side), there));
}

void Books::judge_destination(Side side, const Record& record, const std::string& before) {
  const auto there = state_of(other(side), record.migration, Role::source).value_or("");
  const bool promised = there == "relinquished" || resolved_.contains(record.migration);
  if (record.state == "started" && before == "reserved" && !promised)
    stage_.world.violate(fmt::format("committed on {} without a promise: '{}'", name_of(side), there));
  const auto state = stage_.world.state(side);
  const auto newest = on_disk(side).last_epoch(record.vm);
  const bool present = state == DomainState::paused || state == DomainState::incoming;
  if (record.state == "refused" && present && newest && *newest == record.epoch)
    stage_.world.violate(fmt::format("refused on {}, where it is still {}", name_of(side), to_string(state)));
  if (record.state == "refused" && before == "started" && !unsure_ && !resolved_.contains(record.migration))
    stage_.world.violate(fmt::format("refused on {} after the commit", name_of(side)));
  const bool decided = record.state == "refusing" || (before == "in doubt" && record.state != before);
  if (decided && !resolved_.contains(record.migration))
    stage_.world.violate(
        fmt::format("'{}' on {} after '{}', and nobody has decided", record.state, name_of(side), before));
}

}  // namespace vmigrate::simulation
