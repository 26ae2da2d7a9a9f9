#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "../daemon/folder.hpp"
#include "audit/durable_trail.hpp"

namespace vmigrate::audit {

/// A clock whose wall tells every moment once.
class TickingClock : public Clock {
 public:
  std::chrono::system_clock::time_point wall() const override {
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(1'764'000'000'000 + ++ticks_));
  }

 private:
  mutable std::atomic<std::int64_t> ticks_ = 0;
};

Entry entry(const std::string& action, const std::string& vm = "web1",
            const std::string& user = "alice (uid 1000)");

/// A trail in a file of its own, and what somebody with the right to write there can do to it.
class TrailTest : public testing::Test {
 protected:
  std::unique_ptr<DurableTrail> open(std::uint64_t kept = Store::kKept) const {
    return std::make_unique<DurableTrail>(path_, clock_, kept);
  }
  /// A closed one with so many entries.
  void make(int count) const;
  /// By another program.
  void execute(const std::string& sql) const;
  /// All there is, the oldest first.
  static std::vector<Entry> entries(DurableTrail& trail);
  static std::vector<std::string> actions(DurableTrail& trail);
  /// Of the trail as it is in the file.
  std::vector<std::string> findings(const std::vector<ChainCheck::Witnessed>& witnessed = {}) const;
  Head head() const;

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("audit.db");
  const TickingClock clock_;
};

}  // namespace vmigrate::audit
