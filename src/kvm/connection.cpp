#include "kvm/connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include <poll.h>
#include <sys/socket.h>

namespace vmigrate::kvm {
namespace {

tl::unexpected<Error> lost(const char* what) {
  const int number = errno;
  return fail(ErrorCode::unreachable, fail_errno(what, number).value().message,
              "look at the other host for why it closed the connection");
}

bool is_over(std::optional<MonotonicTime> deadline) {
  return deadline && std::chrono::steady_clock::now() >= *deadline;
}

}  // namespace

Result<> Connection::write(ByteView bytes) {
  while (!bytes.empty()) {
    if (cancellation_.is_cancelled()) return fail(ErrorCode::cancelled, "the move was cancelled");
    if (is_over(deadline_)) return fail(ErrorCode::unreachable, "the other end does not take the VM in time");
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      if (auto waited = wait_and_listen(POLLOUT, deadline_); !waited) return waited;
    } else if (errno != EINTR) {
      return lost("sending the VM");
    }
  }
  return {};
}

Result<std::size_t> Connection::read(std::span<std::byte> buffer, std::optional<MonotonicTime> deadline) {
  for (;;) {
    const auto ready = wait(POLLIN, deadline);
    if (!ready) return fail(ready.error());
    if (*ready == 0) return 0;
    const auto count = read_available(buffer);
    if (!count) return fail(count.error());
    if (*count) return **count;
  }
}

Result<> Connection::read_exactly(std::span<std::byte> buffer) {
  while (!buffer.empty()) {
    const auto count = read(buffer);
    if (!count) return fail(count.error());
    if (*count == 0) return fail(ErrorCode::unreachable, "the other end has closed the connection");
    buffer = buffer.subspan(*count);
  }
  return {};
}

Result<std::optional<std::size_t>> Connection::read_available(std::span<std::byte> buffer) {
  for (;;) {
    const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EAGAIN) return std::nullopt;
    if (errno != EINTR) return lost("receiving the VM");
  }
}

Result<> Connection::wait_until(MonotonicTime time) {
  while (std::chrono::steady_clock::now() < time) {
    if (auto waited = wait_and_listen(0, time); !waited) return waited;
  }
  return {};
}

Result<> Connection::wait_and_listen(short events, std::optional<MonotonicTime> deadline) {
  const auto wanted = static_cast<short>(incoming_ ? events | POLLIN : events);
  const auto happened = wait(wanted, deadline);
  if (!happened) return fail(happened.error());
  // A hang-up or an error is seen by reading as well.
  if (incoming_ && (*happened & ~POLLOUT) != 0) return incoming_();
  return {};
}

Result<short> Connection::wait(short events, std::optional<MonotonicTime> deadline) {
  for (;;) {
    if (cancellation_.is_cancelled()) return fail(ErrorCode::cancelled, "the move was cancelled");
    if (is_over(deadline)) return 0;
    // A socket that is not waited for would still wake us when it hangs up.
    std::array<pollfd, 2> files{{{cancellation_.file(), POLLIN, 0}, {events != 0 ? socket_ : -1, events, 0}}};
    const int ready = ::poll(files.data(), files.size(), milliseconds_until(deadline));
    if (ready < 0 && errno != EINTR) return fail_errno("waiting for the connection", errno);
    if (files[1].revents != 0) return files[1].revents;
  }
}

}  // namespace vmigrate::kvm
