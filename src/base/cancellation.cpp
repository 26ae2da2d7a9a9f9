#include "vmigrate/cancellation.hpp"

#include <cerrno>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

namespace vmigrate {

Result<Cancellation> Cancellation::create() {
  const int file = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (file < 0) return fail_errno("making an event", errno);
  return Cancellation(file);
}

Cancellation::Cancellation(Cancellation&& other) noexcept
    : file_(std::exchange(other.file_, -1)), cancelled_(other.cancelled_.load()) {
}

Cancellation::~Cancellation() {
  if (file_ >= 0) ::close(file_);
}

void Cancellation::cancel() {
  cancelled_ = true;
  // It fails only when it is readable already.
  (void)::eventfd_write(file_, 1);
}

}  // namespace vmigrate
