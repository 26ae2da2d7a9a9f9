#include "daemon/secrecy.hpp"

#include <cstdlib>

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace vmigrate::daemon {
namespace {

/// In a process of its own: the others of this program may leave cores.
void look() {
  keep_memory_to_itself();
  rlimit limit{1, 1};
  ::getrlimit(RLIMIT_CORE, &limit);
  std::_Exit(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && limit.rlim_max == 0 ? 0 : 1);
}

TEST(Secrecy, ADaemonThatCrashesLeavesNoCore) {
  EXPECT_EXIT(look(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vmigrate::daemon
