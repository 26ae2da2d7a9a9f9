#include "peer/bulk_outlet.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "peer/tcp.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

// How often is looked whether a sister has got rid of its chunks.
constexpr Milliseconds kLook{5};

}  // namespace

Result<> BulkOutlet::run() {
  auto going = adopt(terms_.reconnector.connect(number_));
  while (going) {
    going = carry_all();
    if (going) break;
    if (!std::exchange(lost_, false)) continue;
    set_broken();
    going = adopt(terms_.reconnector.reconnect(number_, 0, going.error()));
  }
  if (!going) {
    terms_.reconnector.gone(number_);
    return going;
  }
  terms_.reconnector.ended(number_);
  connection_.stream().say_goodbye();
  return {};
}

/// The connection, from where the other end is.
Result<> BulkOutlet::adopt(Result<Joined> joined) {
  if (!joined) return fail(joined.error());
  joined->stream.carry_bulk();
  connection_.replace(std::move(joined->stream));
  unsent_ = 0;
  // Whoever closes the session interrupts what was there then.
  if (terms_.reconnector.is_closed()) return fail(ErrorCode::unreachable, "the session is closed");
  word_size_ = 0;
  last_heard_ = last_said_ = Clock::now();
  return go_on_from(joined->received);
}

/// What was on its way is lost as well.
void BulkOutlet::set_broken() {
  const std::lock_guard lock(mutex_);
  broken_ = true;
  given_ = 0;
}

Result<> BulkOutlet::go_on_from(std::uint64_t received) {
  const std::lock_guard lock(mutex_);
  broken_ = false;
  auto taken = chunks_.go_back_to(received);
  forget_acknowledged();
  return taken;
}

/// The connection's fault: another one may come in its place.
tl::unexpected<Error> BulkOutlet::lose(const Error& why) {
  lost_ = !connection_.stream().has_ended();
  return fail(why);
}

Result<> BulkOutlet::carry_all() {
  for (;;) {
    const auto going = carry_next();
    if (!going) return fail(going.error());
    if (!*going) return {};
  }
}

/// False once all has arrived.
Result<bool> BulkOutlet::carry_next() {
  Result<> done;
  if (const auto* chunk = chunks_.next()) {
    done = put(*chunk);
    if (done) {
      count_sent();
      done = hear();
    }
  } else if (ended_ && chunks_.empty()) {
    return false;
  } else if (ended_ || chunks_.bytes() >= kMostUnacknowledgedBulk) {
    done = wait(last_said_ + terms_.patience.sign_of_life);
  } else {
    done = find_more();
  }
  if (done && Clock::now() - last_said_ >= terms_.patience.sign_of_life) done = say_sign_of_life();
  if (!done) return fail(done.error());
  return true;
}

/// Waits for more to send, at most until it is time for a sign of life.
Result<> BulkOutlet::find_more() {
  if (auto chunk = terms_.chunks.pop_until(last_said_ + terms_.patience.sign_of_life)) {
    take_on(std::move(*chunk));
    return {};
  }
  return terms_.chunks.is_over() ? relieve() : hear_of_life();
}

/// Once there are no more chunks.
Result<> BulkOutlet::relieve() {
  const bool has_sent_all = connection_.unsent() == 0;
  auto left = has_sent_all ? terms_.left_of_sisters() : Left{std::nullopt, true};
  if (left.overdue) {
    add(std::move(*left.overdue));
    return {};
  }
  if (!left.more) return end();
  if (auto waited = connection_.stream().await(Clock::now() + kLook, true); !waited) return waited;
  return hear_of_life();
}

Left BulkOutlet::left(std::chrono::nanoseconds overdue_after) {
  const std::lock_guard lock(mutex_);
  const auto at = std::max<std::uint64_t>(given_, chunks_.acknowledged() + first_unsent());
  if (at >= own_) return {};
  const auto index = static_cast<std::size_t>(at - chunks_.acknowledged());
  if (Clock::now() - taken_on_[index] < overdue_after) return {std::nullopt, true};
  given_ = at + 1;
  return {chunks_.units()[index], true};
}

/// With the lock held: of the chunks that are kept.
std::size_t BulkOutlet::first_unsent() const {
  if (broken_) return 0;
  const auto& units = chunks_.units();
  const auto unsent = connection_.unsent();
  if (!unsent) return units.size();
  auto index = chunks_.sent_of_them();
  for (auto bytes = *unsent; bytes > 0 && index > 0;) {
    --index;
    bytes -= std::min(bytes, units[index].size());
  }
  return index;
}

/// From the queue.
void BulkOutlet::take_on(ByteBuffer chunk) {
  add(std::move(chunk));
  const std::lock_guard lock(mutex_);
  own_ = chunks_.acknowledged() + chunks_.units().size();
}

void BulkOutlet::add(ByteBuffer chunk) {
  const std::lock_guard lock(mutex_);
  chunks_.add(std::move(chunk));
  taken_on_.push_back(Clock::now());
}

void BulkOutlet::count_sent() {
  const std::lock_guard lock(mutex_);
  chunks_.sent();
}

Result<> BulkOutlet::acknowledge(std::uint64_t received) {
  const std::lock_guard lock(mutex_);
  auto taken = chunks_.acknowledge(received);
  forget_acknowledged();
  return taken;
}

/// With the lock held.
void BulkOutlet::forget_acknowledged() {
  while (taken_on_.size() > chunks_.units().size()) taken_on_.pop_front();
}

Result<> BulkOutlet::end() {
  const auto total = terms_.total();
  if (!total) return fail(ErrorCode::unreachable, "the session is closed");
  ByteBuffer end(kChunkHead + 8);
  put_number(end.data() + kChunkHead, *total, 8);
  add(std::move(end));
  ended_ = true;
  return {};
}

void BulkOutlet::keep_to_bound() {
  const std::size_t unsent = terms_.unsent;
  if (unsent == unsent_) return;
  unsent_ = unsent;
  limit_unsent(connection_.stream().descriptor(), unsent_);
}

Result<> BulkOutlet::put(ByteView bytes) {
  auto& stream = connection_.stream();
  keep_to_bound();
  while (!bytes.empty()) {
    const auto count = stream.write_some(bytes);
    if (!count) return lose(count.error());
    bytes = bytes.subspan(*count);
    if (*count > 0) continue;
    if (auto waited = wait(MonotonicTime::max()); !waited) return waited;
  }
  for (;;) {
    const auto flushed = stream.flush_some();
    if (!flushed) return lose(flushed.error());
    if (*flushed) break;
    if (auto waited = wait(MonotonicTime::max()); !waited) return waited;
  }
  last_said_ = Clock::now();
  return {};
}

Result<> BulkOutlet::say_sign_of_life() {
  std::array<std::byte, kChunkHead> head{};
  put_head(head.data(), kSignOfLife, 0);
  return put(head);
}

/// For a word of the other end, or for what has just got nowhere. While the receiver takes nothing it says
/// so.
Result<> BulkOutlet::wait(MonotonicTime until) {
  const auto silent = last_heard_ + terms_.patience.silence;
  if (auto waited = connection_.stream().await(std::min(until, silent), true); !waited) return waited;
  return hear_of_life();
}

Result<> BulkOutlet::hear_of_life() {
  if (auto heard = hear(); !heard) return heard;
  if (Clock::now() < last_heard_ + terms_.patience.silence) return {};
  return lose({ErrorCode::unreachable,
               fmt::format("not a word for {}", vmigrate::to_string(terms_.patience.silence)), ""});
}

/// What the other end has said that it has.
Result<> BulkOutlet::hear() {
  for (;;) {
    const auto count = connection_.stream().read_some(std::span(word_).subspan(word_size_));
    if (!count) return lose(count.error());
    if (*count == 0) return {};
    last_heard_ = Clock::now();
    terms_.reconnector.heard(number_);
    word_size_ += *count;
    if (word_size_ < word_.size()) continue;
    word_size_ = 0;
    if (auto taken = acknowledge(take_number(word_)); !taken) return taken;
  }
}

}  // namespace vmigrate::peer
