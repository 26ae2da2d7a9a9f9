#include "migration/incoming_stream.hpp"

#include <array>
#include <cerrno>

#include <sys/socket.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::migration {

IncomingStream::IncomingStream(FileDescriptor qemu, peer::BulkReceiver& wire, Events events)
    : qemu_(std::move(qemu)),
      wire_(wire),
      events_(std::move(events)),
      thread_([this] { pump(); }),
      return_thread_([this] { pump_return(); }) {
}

IncomingStream::~IncomingStream() {
  ::shutdown(qemu_.get(), SHUT_RDWR);
  thread_.join();
  return_thread_.join();
}

bool IncomingStream::matches(const StreamDigest& expected, Milliseconds patience) {
  std::unique_lock lock(mutex_);
  progressed_.wait_for(lock, patience, [&] { return ended_ || digester_.count() >= expected.bytes; });
  return digester_.digest() == expected;
}

void IncomingStream::pump() {
  name_this_thread("ram-in");
  for (;;) {
    auto bytes = wire_.read();
    if (!bytes) {
      events_.failed(bytes.error());
      break;
    }
    if (bytes->empty()) break;
    if (!write_to_qemu(*bytes)) {
      events_.failed({ErrorCode::failed, "QEMU on the destination stopped taking the VM's memory",
                      "look into its log there (/var/log/libvirt/qemu)"});
      break;
    }
    const std::lock_guard lock(mutex_);
    digester_.update(*bytes);
    progressed_.notify_all();
  }
  ::shutdown(qemu_.get(), SHUT_WR);
  const std::lock_guard lock(mutex_);
  ended_ = true;
  progressed_.notify_all();
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
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const ssize_t count = ::read(qemu_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    events_.return_path(copy_of({buffer.data(), static_cast<std::size_t>(count)}));
  }
}

}  // namespace vmigrate::migration
