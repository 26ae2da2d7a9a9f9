#include "peer/message_lanes.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/thread_name.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLongestRecord = 16 * kKibibyte;
// What is taken in before it is this side's turn again: a peer that never pauses must not keep it from
// speaking, or from leaving.
constexpr int kRecordsATurn = 32;

}  // namespace

MessageLanes::MessageLanes(TlsStream stream, std::string other, Patience patience,
                           std::shared_ptr<Reconnector> reconnector)
    : connection_(std::move(stream)),
      other_(std::move(other)),
      patience_(patience),
      reconnector_(std::move(reconnector)),
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
  if (is_closed()) return;
  if (auto added = lanes_.send(lane, std::move(message)); !added) {
    const std::lock_guard lock(mutex_);
    if (!broken_) broken_ = added.error();
  }
  wake();
}

void MessageLanes::dealt_with(Lane lane, std::size_t message_size) {
  if (lanes_.dealt_with(lane, message_size)) wake();
}

void MessageLanes::close() {
  {
    const std::lock_guard lock(mutex_);
    if (closing_since_) return;
    closing_since_ = Clock::now();
  }
  wake();
}

bool MessageLanes::is_closed() const {
  const std::lock_guard lock(mutex_);
  return closing_since_.has_value();
}

std::chrono::nanoseconds MessageLanes::round_trip() const {
  return connection_.round_trip();
}

void MessageLanes::wake() const {
  ::eventfd_write(wake_.get(), 1);
}

void MessageLanes::run() {
  name_this_thread("peer");
  const auto over = converse();
  connection_.stream().say_goodbye();
  connection_.interrupt();
  if (is_closed()) return;
  events_.closed(Error{
      code_of_loss(over.error()), fmt::format("the link to {} is lost: {}", other_, over.error().message),
      over.error().hint.empty() ? fmt::format("check the network to {}, and migrated there", other_)
                                : over.error().hint});
}

/// Until nothing more can be said.
Result<> MessageLanes::converse() {
  for (;;) {
    Result<> going;
    while (going) going = exchange();
    if (!std::exchange(lost_, false) || is_closed()) return going;
    if (auto back = come_back(going.error()); !back) return back;
  }
}

Result<> MessageLanes::come_back(const Error& why) {
  auto joined = reconnector_->reconnect(0, lanes_.received(), why);
  if (!joined) return fail(joined.error());
  connection_.replace(std::move(joined->stream));
  output_ = {};
  output_sent_ = 0;
  write_blocked_ = false;
  last_heard_ = last_said_ = Clock::now();
  return lanes_.go_on_behind(joined->received);
}

/// Of the connection's end: another one may come in its place, unless the other end meant it.
tl::unexpected<Error> MessageLanes::lose(const Error& why) {
  lost_ = !connection_.stream().has_ended();
  return fail(why);
}

/// One turn: what can be read and written now, then a wait for more.
Result<> MessageLanes::exchange() {
  if (auto taken = take_in(); !taken) return taken;
  if (auto put = put_out(); !put) return put;
  return wait();
}

Result<> MessageLanes::take_in() {
  // A whole record fits, so that TLS keeps nothing back that poll() does not know of.
  std::array<std::byte, kLongestRecord> record;
  for (int i = 0; i < kRecordsATurn; ++i) {
    const auto count = connection_.stream().read_some(record);
    if (!count) return lose(count.error());
    if (*count == 0) return {};
    last_heard_ = Clock::now();
    reconnector_->heard(0);
    if (said_farewell_) continue;
    const auto heard = lanes_.hear(ByteView(record.data(), *count), [this](Lane lane, ByteBuffer message) {
      deliver(lane, std::move(message));
    });
    if (!heard) return heard;
  }
  return {};
}

void MessageLanes::deliver(Lane lane, ByteBuffer message) {
  if (is_closed()) return;
  const std::size_t size = message.size();
  events_.message(lane, std::move(message));
  if (!events_.dealt_with_later) lanes_.dealt_with(lane, size);
}

Result<> MessageLanes::put_out() {
  if (const auto broken = what_broke()) return fail(*broken);
  while (!said_farewell_) {
    if (output_sent_ == output_.size() && !fill_output()) {
      write_blocked_ = false;
      if (is_closed() && lanes_.is_all_taken()) say_farewell();
      return {};
    }
    const auto count = connection_.stream().write_some(output_.subspan(output_sent_));
    if (!count) return lose(count.error());
    write_blocked_ = *count == 0;
    if (write_blocked_) return {};
    output_sent_ += *count;
    if (output_sent_ == output_.size()) lanes_.sent();
    last_said_ = Clock::now();
  }
  return {};
}

/// The next frame to send becomes the output. False when there is none.
bool MessageLanes::fill_output() {
  output_ = lanes_.next();
  output_sent_ = 0;
  if (!output_.empty()) return true;
  // Signs of life would count as getting on, and a session that is closed would never end.
  if (is_closed() || Clock::now() - last_said_ < patience_.sign_of_life) return false;
  output_ = lanes_.sign_of_life();
  return true;
}

/// All is said. The other end still has to take it: if it went on talking to a closed socket, the kernel
/// would reset the connection, and what is on its way would be lost. So this side listens until the other has
/// hung up, too.
void MessageLanes::say_farewell() {
  connection_.stream().say_goodbye();
  connection_.stream().end_writing();
  said_farewell_ = true;
}

std::optional<Error> MessageLanes::what_broke() const {
  const std::lock_guard lock(mutex_);
  return broken_;
}

std::optional<MonotonicTime> MessageLanes::farewell_deadline() const {
  const std::lock_guard lock(mutex_);
  if (!closing_since_) return std::nullopt;
  // As long as it gets on it may take its time, but a peer that takes a byte a second must not hold this
  // side for ever.
  return std::min(std::max(*closing_since_, last_said_) + patience_.farewell,
                  *closing_since_ + patience_.silence);
}

Result<> MessageLanes::wait() {
  const auto now = Clock::now();
  if (now - last_heard_ >= patience_.silence) {
    return lose({ErrorCode::unreachable, fmt::format("not a word for {}", to_string(patience_.silence)), ""});
  }
  MonotonicTime until = last_heard_ + patience_.silence;
  if (!is_closed() && !write_blocked_) until = std::min(until, last_said_ + patience_.sign_of_life);
  if (const auto deadline = farewell_deadline()) {
    if (now >= *deadline) return fail(ErrorCode::cancelled, "closed");
    until = std::min(until, *deadline);
  }
  std::array<pollfd, 2> entries{{{connection_.stream().descriptor(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
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
