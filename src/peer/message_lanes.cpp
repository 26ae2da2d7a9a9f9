#include "peer/message_lanes.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

bool is_message_lane(std::uint32_t lane) {
  return lane >= static_cast<std::uint32_t>(Lane::control) &&
         lane <= static_cast<std::uint32_t>(Lane::ram_return);
}

}  // namespace

MessageLanes::MessageLanes(TlsStream stream, std::string other, Patience patience)
    : stream_(std::move(stream)),
      other_(std::move(other)),
      patience_(patience),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      last_heard_(Clock::now()),
      last_said_(Clock::now()) {
}

MessageLanes::~MessageLanes() {
  close();
  // A session that was never started has no thread, but may have something to say: a refusal, for instance.
  start({[](Lane, const ByteBuffer&) {}, [](const Error&) {}});
  thread_.join();
}

void MessageLanes::start(SessionEvents events) {
  std::call_once(started_, [&] {
    events_ = std::move(events);
    thread_ = std::thread([this] { run(); });
  });
}

void MessageLanes::send(Lane lane, ByteBuffer message) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
    queued_ += message.size();
    if (queued_ > kMostQueued)
      overfull_ = true;
    else
      queues_[static_cast<std::uint32_t>(lane)].push_back(std::move(message));
  }
  wake();
}

void MessageLanes::close() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closing_, true)) return;
    closing_since_ = Clock::now();
  }
  wake();
}

bool MessageLanes::is_closed() const {
  const std::lock_guard lock(mutex_);
  return closing_;
}

void MessageLanes::wake() const {
  ::eventfd_write(wake_.get(), 1);
}

void MessageLanes::run() {
  name_this_thread("peer");
  Result<> going;
  while (going) going = exchange();
  stream_.say_goodbye();
  stream_.interrupt();
  if (!is_closed()) {
    events_.closed(
        Error{going.error().code == ErrorCode::refused ? ErrorCode::refused : ErrorCode::unreachable,
              fmt::format("the link to {} is lost: {}", other_, going.error().message),
              fmt::format("check the network to {}, and migrated there", other_)});
  }
}

/// One turn: whatever can be read and written now, then a wait for more.
Result<> MessageLanes::exchange() {
  if (auto taken = take_in(); !taken) return taken;
  if (auto put = put_out(); !put) return put;
  return wait();
}

Result<> MessageLanes::take_in() {
  std::array<std::byte, 16 * 1024> chunk;
  for (;;) {
    const auto count = stream_.read_some(chunk);
    if (!count) return fail(count.error());
    if (*count == 0) return {};
    last_heard_ = Clock::now();
    reader_.add(ByteView(chunk.data(), *count));
    for (;;) {
      auto frame = reader_.next();
      if (!frame) return fail(frame.error());
      if (!*frame) break;
      if (auto delivered = deliver(std::move(**frame)); !delivered) return delivered;
    }
  }
}

Result<> MessageLanes::deliver(Frame frame) {
  if (frame.lane == 0 && frame.payload.empty()) return {};  // a sign of life
  if (!is_message_lane(frame.lane))
    return fail(ErrorCode::refused, fmt::format("it uses lane {}", frame.lane));
  const Lane lane{frame.lane};
  auto& message = incomplete_[frame.lane];
  if (message.size() + frame.payload.size() > longest_message(lane)) {
    return fail(ErrorCode::refused,
                fmt::format("it sent a message on lane {} that is longer than allowed", frame.lane));
  }
  message.insert(message.end(), frame.payload.begin(), frame.payload.end());
  if (!frame.more && !is_closed()) events_.message(lane, std::exchange(message, {}));
  return {};
}

Result<> MessageLanes::put_out() {
  for (;;) {
    if (output_sent_ == output_.size() && !fill_output()) {
      write_blocked_ = false;
      const std::lock_guard lock(mutex_);
      if (closing_) return fail(ErrorCode::cancelled, "closed");
      if (overfull_) return fail(ErrorCode::refused, "it does not take what it is sent");
      return {};
    }
    const auto count = stream_.write_some(ByteView(output_).subspan(output_sent_));
    if (!count) return fail(count.error());
    write_blocked_ = *count == 0;
    if (write_blocked_) return {};
    output_sent_ += *count;
    last_said_ = Clock::now();
  }
}

/// The next frame to send becomes the output. False when there is none.
bool MessageLanes::fill_output() {
  output_.clear();
  output_sent_ = 0;
  const std::lock_guard lock(mutex_);
  for (auto& [lane, queue] : queues_) {
    if (queue.empty()) continue;
    std::size_t& sent = sent_of_first_[lane];
    const ByteView rest = ByteView(queue.front()).subspan(sent);
    const ByteView payload = rest.first(std::min(rest.size(), kLongestPayload));
    const bool more = payload.size() < rest.size();
    append_frame(output_, lane, more, payload);
    sent += payload.size();
    queued_ -= payload.size();
    if (!more) {
      queue.pop_front();
      sent = 0;
    }
    return true;
  }
  if (Clock::now() - last_said_ < patience_.sign_of_life) return false;
  append_frame(output_, 0, false, {});
  return true;
}

Result<> MessageLanes::wait() {
  const auto now = Clock::now();
  if (now - last_heard_ >= patience_.silence) {
    return fail(ErrorCode::unreachable, fmt::format("not a word for {}", to_string(patience_.silence)));
  }
  MonotonicTime until = std::min(last_heard_ + patience_.silence, last_said_ + patience_.sign_of_life);
  {
    const std::lock_guard lock(mutex_);
    if (closing_) {
      if (now >= closing_since_ + patience_.farewell) return fail(ErrorCode::cancelled, "closed");
      until = std::min(until, closing_since_ + patience_.farewell);
    }
  }
  std::array<pollfd, 2> entries{{{stream_.descriptor(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  if (write_blocked_) entries[0].events |= POLLOUT;
  const auto left = std::max(Milliseconds(0), std::chrono::ceil<Milliseconds>(until - now));
  if (::poll(entries.data(), entries.size(), static_cast<int>(left.count())) < 0 && errno != EINTR) {
    return fail_errno("poll", errno);
  }
  eventfd_t ignored = 0;
  ::eventfd_read(wake_.get(), &ignored);
  return {};
}

}  // namespace vmigrate::peer
