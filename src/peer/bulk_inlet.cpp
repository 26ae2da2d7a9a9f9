#include "peer/bulk_inlet.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Result<> BulkInlet::run() {
  auto received = receive_stream();
  if (!received) terms_.reconnector.gone(number_);
  return received;
}

/// Over as many connections as it takes.
Result<> BulkInlet::receive_stream() {
  auto going = adopt(terms_.reconnector.connect(number_));
  while (going) {
    going = receive_all();
    if (!std::exchange(lost_, false)) return going;
    // What is lost after the end is missed only by an other end that does not know that it has arrived.
    if (ended_)
      going = adopt(terms_.reconnector.linger(number_, received_));
    else
      going = adopt(terms_.reconnector.reconnect(number_, received_, going.error()));
  }
  return ended_ ? Result<>() : going;
}

Result<> BulkInlet::adopt(Result<Joined> joined) {
  if (!joined) return fail(joined.error());
  joined->stream.carry_bulk();
  connection_.replace(std::move(joined->stream));
  // Whoever closes the session interrupts what was there then.
  if (terms_.reconnector.is_closed()) return fail(ErrorCode::unreachable, "the session is closed");
  not_said_ = 0;
  word_sent_ = kAcknowledgement;
  flushing_ = false;
  last_heard_ = last_said_ = Clock::now();
  return {};
}

/// The connection's fault: another one may come in its place.
tl::unexpected<Error> BulkInlet::lose(const Error& why) {
  lost_ = !connection_.stream().has_ended();
  return fail(why);
}

/// Never succeeds: when all is said, the other end closes the connection.
Result<> BulkInlet::receive_all() {
  for (;;) {
    auto received = receive();
    if (!received) return ended_ && connection_.stream().has_ended() ? Result<>() : received;
  }
}

Result<> BulkInlet::receive() {
  std::array<std::byte, kChunkHead> head{};
  if (auto filled = read(head); !filled) return filled;
  terms_.reconnector.heard(number_);
  const std::uint64_t number = take_number(ByteView(head).first(8));
  const std::uint64_t size = take_number(ByteView(head).subspan(8));
  if (size == 0 && number == kSignOfLife) return {};
  if (ended_) return fail(ErrorCode::refused, "the peer sent something after the end");
  if (size > kLongestBulkChunk) {
    return fail(ErrorCode::refused, "the peer sent a chunk that is longer than allowed");
  }
  if (size > 0) {
    if (auto taken = receive_chunk(number, size); !taken) return taken;
  } else {
    std::array<std::byte, 8> total{};
    if (auto filled = read(total); !filled) return filled;
    if (auto taken = terms_.take_end(take_number(total)); !taken) return taken;
    ended_ = true;
    terms_.reconnector.ended(number_);
  }
  ++received_;
  not_said_ += size;
  return ended_ || not_said_ >= kAcknowledgeStep ? say_received() : Result<>();
}

Result<> BulkInlet::receive_chunk(std::uint64_t number, std::size_t size) {
  for (;;) {
    const auto room = terms_.make_room(number, size, last_said_ + terms_.patience.sign_of_life);
    if (!room) return fail(room.error());
    if (*room) break;
    if (auto said = say_received(); !said) return said;
  }
  // The other end could not be heard meanwhile.
  last_heard_ = Clock::now();
  ByteBuffer bytes(size);
  if (auto filled = read(bytes); !filled) {
    terms_.give_back(size);
    return filled;
  }
  terms_.take(number, std::move(bytes));
  return {};
}

Result<> BulkInlet::read(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = connection_.stream().read_some(bytes);
    if (!count) return lose(count.error());
    bytes = bytes.subspan(*count);
    heard_ = heard_ || *count > 0;
    if (*count > 0) continue;
    if (auto waited = wait_for_bytes(); !waited) return waited;
  }
  return {};
}

Result<> BulkInlet::wait_for_bytes() {
  const auto now = Clock::now();
  if (std::exchange(heard_, false)) last_heard_ = now;
  const auto silent = last_heard_ + terms_.patience.silence;
  if (now >= silent) {
    return lose({ErrorCode::unreachable,
                 fmt::format("not a word for {}", vmigrate::to_string(terms_.patience.silence)), ""});
  }
  const auto sign = last_said_ + terms_.patience.sign_of_life;
  if (auto waited = connection_.stream().await(std::min(silent, sign), true); !waited) return waited;
  return Clock::now() >= sign ? say_received() : Result<>();
}

/// Never waits: an other end that does not listen to it stops by itself when it has enough on its way.
Result<> BulkInlet::say_received() {
  auto& stream = connection_.stream();
  last_said_ = Clock::now();
  if (word_sent_ == word_.size() && !flushing_) {
    put_number(word_.data(), received_, kAcknowledgement);
    word_sent_ = 0;
    not_said_ = 0;
  }
  if (word_sent_ < word_.size()) {
    const auto count = stream.write_some(ByteView(word_).subspan(word_sent_));
    if (!count) return lose(count.error());
    word_sent_ += *count;
    flushing_ = true;
  }
  const auto flushed = stream.flush_some();
  if (!flushed) return lose(flushed.error());
  flushing_ = !*flushed;
  return {};
}

}  // namespace vmigrate::peer
