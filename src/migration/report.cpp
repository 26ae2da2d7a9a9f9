#include "migration/report.hpp"

namespace vmigrate::migration {

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::check: return "check";
    case Phase::prepare: return "prepare";
    case Phase::memory: return "memory";
    case Phase::switchover: return "switchover";
    case Phase::clean_up: return "clean-up";
    case Phase::completed: return "completed";
    case Phase::failed: return "failed";
    case Phase::cancelled: return "cancelled";
    case Phase::needs_attention: return "needs attention";
  }
  return "unknown";
}

}  // namespace vmigrate::migration
