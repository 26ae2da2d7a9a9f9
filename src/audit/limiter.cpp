#include "audit/limiter.hpp"

namespace vmigrate::audit {

bool Limiter::admit(const Entry& entry, Keep keep, MonotonicTime now) {
  if (keep == Keep::every) return true;
  Kind kind{entry.user, entry.peer, entry.action, entry.result};
  if (!kinds_.contains(kind) && kinds_.size() >= kMostKinds) kind = {};
  auto& counted = kinds_.try_emplace(kind, Counted{now, 0, 0, {}}).first->second;
  if (counted.written < (keep == Keep::first ? 1U : kSome)) {
    ++counted.written;
    return true;
  }
  ++counted.counted;
  counted.last = entry;
  return false;
}

std::vector<Entry> Limiter::due(MonotonicTime now) {
  std::vector<Entry> summaries;
  for (auto kind = kinds_.begin(); kind != kinds_.end();) {
    auto& [who, counted] = *kind;
    if (now - counted.begun < kWhile) {
      ++kind;
      continue;
    }
    if (counted.counted > 0) {
      if (who == Kind{}) {
        counted.last = {};
        counted.last.action = "several";
        counted.last.reason = "requests of many kinds, by many";
      }
      counted.last.count = counted.counted;
      // It was written when the last one came; the summary is written now.
      counted.last.time = {};
      summaries.push_back(std::move(counted.last));
    }
    kind = kinds_.erase(kind);
  }
  return summaries;
}

}  // namespace vmigrate::audit
