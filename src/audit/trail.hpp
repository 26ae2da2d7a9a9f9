#pragma once

#include <optional>
#include <string>
#include <vector>

#include "audit/entry.hpp"

namespace vmigrate::audit {

/// What happens to many entries of one kind: by the same, for the same, with the same result. Those that are
/// not written are counted, and an entry says how many they were.
enum class Keep {
  every,  ///< all are written: for what can only be done so often
  some,   ///< the first ones of a while
  first,  ///< the first one of a while: for who only looks
};

/// Of another host's trail; as many as fit into a message to it, with room to spare.
inline constexpr std::size_t kMostHeads = 1000;

/// Where requests are noted. Thread-safe.
class Trail {
 public:
  virtual ~Trail() = default;
  /// On return it is on disk, or it is an error, and what was asked for must not begin.
  virtual Result<> record(Entry entry) = 0;
  /// It is written soon, by somebody else: never waits for a disk. When it cannot be written it waits, with
  /// an alarm, until it can. Whether it is written by itself; otherwise it is only counted.
  virtual bool note(Entry entry, Keep keep) = 0;
  /// The newest entry on disk; nothing when there is none.
  virtual std::optional<Head> head() = 0;
  /// What is noted here of the heads of another host's trail, the newest kMostHeads.
  virtual Result<std::vector<Head>> heads_of(const std::string& peer) = 0;
};

/// For who keeps none.
class NoTrail : public Trail {
 public:
  Result<> record(Entry) override { return {}; }
  bool note(Entry, Keep) override { return true; }
  std::optional<Head> head() override { return std::nullopt; }
  Result<std::vector<Head>> heads_of(const std::string&) override { return std::vector<Head>(); }
};

}  // namespace vmigrate::audit
