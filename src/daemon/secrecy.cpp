#include "daemon/secrecy.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace vmigrate::daemon {

void keep_memory_to_itself() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

}  // namespace vmigrate::daemon
