#include "migration/outgoing_stream.hpp"

#include <cerrno>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::migration {
namespace {

// Large enough to amortise a system call and a frame, small beside what 50 ms of any wire holds.
constexpr std::size_t kChunk = std::size_t{256} * 1024;

}  // namespace

OutgoingStream::OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, Events events)
    : qemu_(std::move(qemu)), wire_(wire), events_(std::move(events)), thread_([this] { pump(); }) {
}

OutgoingStream::~OutgoingStream() {
  ::shutdown(qemu_.get(), SHUT_RDWR);
  thread_.join();
}

void OutgoingStream::deliver_return(ByteView bytes) {
  // QEMU reads its return path all the time and it is a few bytes a second, so this does not block in
  // practice; a QEMU that is gone is noticed by the hypervisor.
  while (!bytes.empty()) {
    const ssize_t count = ::send(qemu_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

StreamDigest OutgoingStream::digest() const {
  const std::lock_guard lock(mutex_);
  return digester_.digest();
}

OutgoingStream::Counters OutgoingStream::counters() const {
  const std::lock_guard lock(mutex_);
  return {digester_.count(), statistics_.guest_bytes(), statistics_.passes()};
}

void OutgoingStream::pump() {
  name_this_thread("ram-out");
  std::vector<std::byte> buffer(kChunk);
  bool stopped_seen = false;
  Result<> sent;
  for (;;) {
    const ssize_t count = ::read(qemu_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    // How QEMU's part went is for the hypervisor to say: it knows more than a closed socket does.
    if (count <= 0) break;
    const ByteView bytes(buffer.data(), static_cast<std::size_t>(count));
    bool stopped = false;
    {
      const std::lock_guard lock(mutex_);
      digester_.update(bytes);
      decoder_.feed(bytes, statistics_);
      stopped = statistics_.vcpus_stopped();
    }
    if (stopped && !std::exchange(stopped_seen, true)) events_.vcpus_stopped();
    if (sent = wire_.write(bytes); !sent) break;
  }
  if (sent) sent = wire_.finish();
  // QEMU must learn that nobody reads any more.
  ::shutdown(qemu_.get(), SHUT_RDWR);
  if (!sent) events_.wire_failed(sent.error());
}

}  // namespace vmigrate::migration
