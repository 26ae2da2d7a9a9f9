#include "base/thread_name.hpp"

#include <string>

#include <pthread.h>

namespace vmigrate {

void name_this_thread(std::string_view name) {
  ::pthread_setname_np(::pthread_self(), std::string(name.substr(0, 15)).c_str());
}

}  // namespace vmigrate
