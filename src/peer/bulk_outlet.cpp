#include "peer/bulk_outlet.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "peer/tcp.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Result<> BulkOutlet::run() {
  auto going = adopt(terms_.reconnector.connect(number_));
  while (going) {
    going = carry_all();
    if (going) break;
    if (std::exchange(lost_, false)) going = adopt(terms_.reconnector.reconnect(number_, 0, going.error()));
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
  return chunks_.go_back_to(joined->received);
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
      chunks_.sent();
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
    chunks_.add(std::move(*chunk));
    return {};
  }
  if (terms_.chunks.is_over()) return end();
  return hear_of_life();
}

Result<> BulkOutlet::end() {
  const auto total = terms_.total();
  if (!total) return fail(ErrorCode::unreachable, "the session is closed");
  ByteBuffer end(kChunkHead + 8);
  put_number(end.data() + kChunkHead, *total, 8);
  chunks_.add(std::move(end));
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
    if (auto taken = chunks_.acknowledge(take_number(word_)); !taken) return taken;
  }
}

}  // namespace vmigrate::peer
