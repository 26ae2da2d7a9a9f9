#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "announce/addresses.hpp"
#include "announce/kernel_tables.hpp"
#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/units.hpp"

namespace vmigrate::announce {

/// What is sent for one interface, and where.
struct Announcement {
  MacAddress mac;
  std::string bridge;
  std::string tap;
  BridgePort where;  ///< of the first time: a tap that is another one by now belongs to another VM
  std::vector<ByteBuffer> frames;
};

/// Which interfaces are to be announced again, and when. No clock and no thread of its own.
class Repetitions {
 public:
  explicit Repetitions(std::vector<Milliseconds> schedule) : schedule_(std::move(schedule)) {}

  /// The first announcement of the schedule was made at `start`; the rest are due from then on. Replaces what
  /// is under way for the same MAC.
  void add(Announcement announcement, MonotonicTime start);
  void remove(const MacAddress& mac);

  /// When the next one is due; nothing when none is left.
  std::optional<MonotonicTime> next() const;
  /// Those due by now, each once, however many turns were slept through.
  std::vector<Announcement> take_due(MonotonicTime now);

 private:
  struct Pending {
    Announcement announcement;
    MonotonicTime start;
    std::size_t turn = 1;
  };
  MonotonicTime due(const Pending& pending) const { return pending.start + schedule_[pending.turn]; }

  const std::vector<Milliseconds> schedule_;
  std::map<MacAddress, Pending> pending_;
};

}  // namespace vmigrate::announce
