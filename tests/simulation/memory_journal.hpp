#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "handover/journal.hpp"

namespace vmigrate::simulation {

/// Keeps to the rules of SqliteJournal, which takes most of the time of a schedule: see open_disk().
class MemoryJournal : public handover::Journal {
 public:
  Result<> write(const handover::Record& record) override {
    const auto same = [&](const handover::Record& each) {
      return each.migration == record.migration && each.role == record.role;
    };
    std::erase_if(records_, same);
    // The highest epoch first.
    const auto place = std::find_if(records_.begin(), records_.end(),
                                    [&](const handover::Record& each) { return each.epoch <= record.epoch; });
    records_.insert(place, record);
    if (record.state == "preparing" || record.state == "running") {
      std::erase_if(records_, [&](const handover::Record& each) {
        const bool over = each.state == "confirmed" || each.state == "reclaimed" || each.state == "done";
        return over && each.epoch < record.epoch;
      });
    }
    return {};
  }
  Result<std::optional<handover::Record>> find(const MigrationId& migration, handover::Role role) override {
    for (const auto& record : records_) {
      if (record.migration == migration && record.role == role) return record;
    }
    return std::nullopt;
  }
  Result<std::vector<handover::Record>> unfinished() override {
    std::vector<handover::Record> found;
    for (const auto& record : records_) {
      const bool over = record.state == "confirmed" || record.state == "reclaimed" ||
                        record.state == "running" || record.state == "done" || record.state == "refused";
      if (!over && record.epoch == records_.front().epoch) found.push_back(record);
    }
    return found;
  }
  Result<std::vector<handover::Record>> of_vm(const VmId&) override { return records_; }

 private:
  std::vector<handover::Record> records_;  // all of one VM
};

}  // namespace vmigrate::simulation
