#pragma once

#include <cerrno>
#include <string_view>

#include <sys/ioctl.h>

#include "base/error.hpp"

namespace vmigrate::kvm {

/// An ioctl of KVM whose failure a caller can only pass on. `what`: the request's name, for people.
template <class Argument>
Result<int> call(int file, unsigned long request, Argument argument, std::string_view what) {
  for (;;) {
    const int result = ::ioctl(file, request, argument);
    if (result >= 0) return result;
    if (errno != EINTR) return fail_errno(what, errno);
  }
}

/// 0: not offered.
inline int extension(int file, unsigned long capability) {
  constexpr unsigned long check_extension = 0xae03;  // KVM_CHECK_EXTENSION
  const int result = ::ioctl(file, check_extension, capability);
  return result > 0 ? result : 0;
}

}  // namespace vmigrate::kvm
