#pragma once

#include <string_view>

namespace vmigrate::handover {

/// What the destination says has become of a migration. The numbers are on the wire
/// (proto/vmigrate/migration.proto).
enum class Outcome {
  undecided = 1,  ///< not yet: ask again
  refused = 2,    ///< for ever: this migration will never run there
  running = 3,    ///< it was started there (or handed over paused, as it was)
  in_doubt = 4,   ///< it was committed there, and cannot be seen running: it may have run
  unknown = 5,    ///< no record of it there
};

std::string_view to_string(Outcome outcome);

}  // namespace vmigrate::handover
