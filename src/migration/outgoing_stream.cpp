#include "migration/outgoing_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::migration {
namespace {

// Large enough to amortise a system call and a frame, small beside what 50 ms of any wire holds.
constexpr std::size_t kChunk = std::size_t{256} * 1024;
// What looks like the beginning of the stream's last part is held back until the rest is there, which QEMU
// writes in one go.
constexpr int kLongestHold = 100;  // milliseconds

}  // namespace

OutgoingStream::OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, Events events)
    : qemu_(std::move(qemu)), wire_(wire), events_(std::move(events)), thread_([this] { pump(); }) {
}

OutgoingStream::~OutgoingStream() {
  ::shutdown(qemu_.get(), SHUT_RDWR);
  thread_.join();
}

void OutgoingStream::cut_off() {
  ::shutdown(qemu_.get(), SHUT_RDWR);
}

void OutgoingStream::deliver_return(ByteView bytes) {
  const std::lock_guard lock(return_mutex_);
  if (!answered_) write_return(bytes);
}

void OutgoingStream::write_return(ByteView bytes) {
  // QEMU reads its return path all the time and it is a few bytes a second, so this does not block in
  // practice; a QEMU that is gone is noticed by the hypervisor.
  while (!bytes.empty()) {
    const ssize_t count = ::send(qemu_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void OutgoingStream::answer_for_destination() {
  constexpr std::array shut{std::byte{0}, std::byte{1}, std::byte{0}, std::byte{4},
                            std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
  const std::lock_guard lock(return_mutex_);
  if (!std::exchange(answered_, true)) write_return(shut);
}

StreamDigest OutgoingStream::digest(Milliseconds patience) const {
  std::unique_lock lock(mutex_);
  ended_changed_.wait_for(lock, patience, [&] { return ended_; });
  return digester_.digest();
}

OutgoingStream::Counters OutgoingStream::counters() const {
  const std::lock_guard lock(mutex_);
  return {digester_.count(), observer_.guest_bytes(), observer_.passes()};
}

void OutgoingStream::pump() {
  name_this_thread("ram-out");
  auto carried = carry_all();
  if (carried) carried = wire_.finish();
  // QEMU must learn that nobody reads any more.
  ::shutdown(qemu_.get(), SHUT_RDWR);
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_all();
  if (!carried) events_.wire_failed(carried.error());
}

Result<> OutgoingStream::carry_all() {
  std::vector<std::byte> buffer(kChunk);
  for (;;) {
    if (!await_bytes()) {
      ByteBuffer released;
      tail_.release(released);
      if (auto sent = send(released); !sent) return sent;
      continue;
    }
    const ssize_t count = ::read(qemu_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    // How QEMU's part went is for the hypervisor to say: it knows more than a closed socket does.
    if (count <= 0) break;
    if (auto sent = carry({buffer.data(), static_cast<std::size_t>(count)}); !sent) return sent;
  }
  ByteBuffer released;
  tail_.release(released);
  return send(released);
}

bool OutgoingStream::await_bytes() const {
  if (!tail_.is_holding()) return true;
  pollfd wanted{qemu_.get(), POLLIN, 0};
  return ::poll(&wanted, 1, kLongestHold) != 0;
}

Result<> OutgoingStream::carry(ByteView bytes) {
  std::size_t tail_size = 0;
  bool stopped = false;
  {
    const std::lock_guard lock(mutex_);
    decoder_.feed(bytes, observer_);
    stopped = observer_.vcpus_stopped();
    // The decoder may have held back a few bytes that are on their way already.
    tail_size = std::min(observer_.take_tail_size(), bytes.size());
  }
  if (stopped && !std::exchange(stop_seen_, true)) events_.vcpus_stopped();
  if (auto sent = send(bytes.first(bytes.size() - tail_size)); !sent) return sent;
  return carry_tail(bytes.last(tail_size));
}

Result<> OutgoingStream::carry_tail(ByteView bytes) {
  ByteBuffer passed;
  tail_.feed(bytes, passed);
  auto sent = send(passed);
  if (sent && tail_.is_complete()) answer_for_destination();
  return sent;
}

Result<> OutgoingStream::send(ByteView bytes) {
  if (bytes.empty()) return {};
  {
    const std::lock_guard lock(mutex_);
    digester_.update(bytes);
  }
  return wire_.write(bytes);
}

}  // namespace vmigrate::migration
