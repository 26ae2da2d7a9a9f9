#include "migration/incoming_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::migration {
namespace {

constexpr std::chrono::milliseconds kSayInterval{3};

}  // namespace

IncomingStream::IncomingStream(FileDescriptor qemu, peer::BulkReceiver& wire, Bytes budget, Events events)
    : qemu_(std::move(qemu)),
      wire_(wire),
      events_(std::move(events)),
      receiver_(budget, [this](ByteView bytes) { return hand_to_qemu(bytes); }),
      thread_([this] { pump(); }),
      return_thread_([this] { pump_return(); }) {
}

IncomingStream::~IncomingStream() {
  ::shutdown(qemu_.get(), SHUT_RDWR);
  thread_.join();
  return_thread_.join();
}

Result<> IncomingStream::verify(const StreamDigest& expected, Milliseconds patience) {
  std::unique_lock lock(mutex_);
  progressed_.wait_for(lock, patience, [&] { return ended_ || digester_.count() >= expected.bytes; });
  if (digester_.digest() == expected) return {};
  if (digester_.count() == expected.bytes) {
    return fail(ErrorCode::failed, "the memory that arrived is not what the source sent",
                "start the migration again; if it happens twice, report it");
  }
  if (failed_) return fail(*failed_);
  return fail(ErrorCode::failed,
              fmt::format("{} of the {} bytes of the memory's stream have come in", digester_.count(),
                          expected.bytes),
              "start the migration again");
}

void IncomingStream::pump() {
  name_this_thread("ram-in");
  const auto received = receive_all();
  if (!received) {
    {
      const std::lock_guard lock(mutex_);
      failed_ = received.error();
    }
    events_.failed(received.error());
  }
  ::shutdown(qemu_.get(), SHUT_WR);
  const std::lock_guard lock(mutex_);
  ended_ = true;
  progressed_.notify_all();
}

Result<> IncomingStream::receive_all() {
  for (;;) {
    const auto bytes = wire_.read();
    if (!bytes) return fail(bytes.error());
    if (bytes->empty()) return receiver_.finish();
    if (auto taken = receiver_.feed(*bytes); !taken) return taken;
  }
}

Result<> IncomingStream::hand_to_qemu(ByteView bytes) {
  if (!write_to_qemu(bytes)) {
    return fail(ErrorCode::failed, "the destination's hypervisor stopped taking the VM's memory",
                "look into its log there (QEMU's are in /var/log/libvirt/qemu)");
  }
  const std::lock_guard lock(mutex_);
  digester_.update(bytes);
  progressed_.notify_all();
  return {};
}

bool IncomingStream::write_to_qemu(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(qemu_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

void IncomingStream::pump_return() {
  name_this_thread("ram-return");
  carry_return();
  // Who has nothing more to say still takes what it is given.
  std::unique_lock lock(mutex_);
  while (!progressed_.wait_for(lock, kSayInterval, [this] { return ended_; })) {
    lock.unlock();
    say_taken();
    lock.lock();
  }
}

void IncomingStream::carry_return() {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    // Whoever waits in read() is woken as well each time QEMU has taken something of what we sent.
    pollfd wanted{qemu_.get(), POLLIN, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(kSayInterval.count()));
    if (ready < 0 && errno != EINTR) return;
    say_taken();
    if (ready <= 0) continue;
    const ssize_t count = ::read(qemu_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    events_.return_path(copy_of({buffer.data(), static_cast<std::size_t>(count)}));
  }
}

void IncomingStream::say_taken() {
  std::uint64_t handed = 0;
  {
    const std::lock_guard lock(mutex_);
    handed = digester_.count();
  }
  // What the socket holds, its bookkeeping included: what was taken is more than this says, until it is
  // empty.
  int held = 0;
  if (::ioctl(qemu_.get(), SIOCOUTQ, &held) != 0 || held < 0) held = 0;
  const auto taken = handed - std::min(handed, static_cast<std::uint64_t>(held));
  if (taken <= said_) return;
  said_ = taken;
  events_.taken(taken);
}

}  // namespace vmigrate::migration
