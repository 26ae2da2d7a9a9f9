#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "audit/trail.hpp"
#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate::audit {

/// Keeps a flood from filling the trail: of entries of one kind, only the first ones of a while are written,
/// the others counted. Bounded itself. Time is a parameter.
class Limiter {
 public:
  static constexpr Milliseconds kWhile = std::chrono::minutes(10);
  /// Of Keep::some, in one while.
  static constexpr std::uint32_t kSome = 20;
  /// Further kinds are counted together, whoever they are of.
  static constexpr std::size_t kMostKinds = 256;

  /// Whether it is to be written. Otherwise it is counted.
  bool admit(const Entry& entry, Keep keep, MonotonicTime now);
  /// One entry for each kind that was counted, of the whiles that are over.
  std::vector<Entry> due(MonotonicTime now);
  /// The same for all of them, at the end.
  std::vector<Entry> all() { return due(MonotonicTime::max()); }

 private:
  /// Who, what, with what result. Not where from: a stranger has as many addresses as it likes.
  using Kind = std::tuple<std::string, std::string, std::string, std::string>;
  struct Counted {
    MonotonicTime begun;
    std::uint32_t written = 0;
    std::uint64_t counted = 0;
    Entry last;
  };

  std::map<Kind, Counted> kinds_;
};

}  // namespace vmigrate::audit
