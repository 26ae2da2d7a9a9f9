#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/identifiers.hpp"

namespace vmigrate::hypervisor {

/// What all fake hosts of a test have in common: who sees every running copy of a VM, and in which order
/// things happened. Thread-safe.
class FakeWorld {
 public:
  /// One line of the log, "host: what". Tests add the steps of their own fakes ("hosta: journal
  /// Relinquished"), so that the order can be asserted across all of them.
  void note(const std::string& host, const std::string& what);
  std::vector<std::string> log() const;
  /// Position of the first such line; log().size() when there is none.
  std::size_t position(const std::string& line) const;

  void runs(const std::string& host, const VmId& vm);
  void stops(const std::string& host, const VmId& vm);
  /// Where copies of the VM run now.
  std::set<std::string> running_on(const VmId& vm) const;
  /// The promise: never above 1.
  std::size_t most_running_at_once(const VmId& vm) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> log_;
  std::map<VmId, std::set<std::string>> running_;
  std::map<VmId, std::size_t> most_running_;
};

}  // namespace vmigrate::hypervisor
