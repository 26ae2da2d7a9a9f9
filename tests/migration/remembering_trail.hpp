#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "audit/trail.hpp"

namespace vmigrate::migration {

/// An audit trail in memory, that can be told not to be writable.
class RememberingTrail : public audit::Trail {
 public:
  /// `digit`: what the hashes of its heads are made of.
  explicit RememberingTrail(char digit) : digit_(digit) {}

  Result<> record(audit::Entry entry) override {
    const std::lock_guard lock(mutex_);
    if (broken_)
      return fail(ErrorCode::failed, "cannot write the audit trail: the disk is full", "make room");
    entries_.push_back(std::move(entry));
    return {};
  }
  bool note(audit::Entry entry, audit::Keep) override {
    const std::lock_guard lock(mutex_);
    entries_.push_back(std::move(entry));
    return true;
  }
  std::optional<audit::Head> head() override {
    const std::lock_guard lock(mutex_);
    if (entries_.empty()) return std::nullopt;
    return audit::Head{entries_.size(), std::string(64, digit_)};
  }
  Result<std::vector<audit::Head>> heads_of(const std::string& peer) override {
    std::vector<audit::Head> heads;
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries_) {
      if (entry.head && entry.peer == peer) heads.push_back(*entry.head);
    }
    return heads;
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    entries_ = {};
  }
  void set_broken(bool broken) {
    const std::lock_guard lock(mutex_);
    broken_ = broken;
  }
  /// "receive accepted", in their order; those of one action only where it is named.
  std::vector<std::string> said(const std::string& action = {}) const {
    std::vector<std::string> words;
    for (const auto& entry : entries()) {
      if (action.empty() || entry.action == action) words.push_back(entry.action + " " + entry.result);
    }
    return words;
  }
  std::vector<audit::Entry> entries() const {
    const std::lock_guard lock(mutex_);
    return entries_;
  }

 private:
  const char digit_;
  mutable std::mutex mutex_;
  std::vector<audit::Entry> entries_;
  bool broken_ = false;
};

}  // namespace vmigrate::migration
