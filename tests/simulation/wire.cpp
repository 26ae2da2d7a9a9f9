#include "wire.hpp"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "migration/messages.hpp"

namespace vmigrate::simulation {

using std::chrono::microseconds;

namespace {

constexpr microseconds kRetransmission{200'000};
constexpr microseconds kBeginning{1'000};
const Error kLinkDown{ErrorCode::unreachable, "the link is down", ""};

std::string name_of_message(const ByteBuffer& message) {
  constexpr std::array<std::string_view, 8> kNames{"Offer",   "OfferAnswer", "Abort",     "Finish",
                                                   "Verdict", "Ask",         "Confirmed", "Ping"};
  const auto decoded = migration::decode(message);
  if (!decoded) return "what nobody can read";
  if (const auto* verdict = std::get_if<migration::Verdict>(&*decoded))
    return fmt::format("Verdict {}", handover::to_string(verdict->outcome));
  return decoded->index() < kNames.size() ? std::string(kNames[decoded->index()]) : "another message";
}

std::string label(peer::Lane lane, const ByteBuffer& message) {
  if (lane == peer::Lane::control) return name_of_message(message);
  return lane == peer::Lane::hypervisor_rpc ? std::string("RPC ") + std::string(as_text(message))
                                            : "return path";
}

}  // namespace

Wire::Wire(Network& network, Side dialled, std::shared_ptr<Life> here, std::shared_ptr<Life> there)
    : network_(network), stage_(network.stage()), dialler_(dialled) {
  end(dialled).life = std::move(here);
  end(other(dialled)).life = std::move(there);
}

void Wire::start(Side side, peer::SessionEvents events) {
  end(side).events = std::move(events);
}

void Wire::send(Side from, peer::Lane lane, ByteBuffer message) {
  if (!stage_.scheduler.may_wait()) return;
  const auto what = label(lane, message);
  stage_.chaos.point(from, "before send " + what);
  if (is_open(from)) {
    if (lane == peer::Lane::control && stage_.chaos.takes_duplicate()) {
      // An old copy that turns up later, out of order.
      stage_.scheduler.after(stage_.scheduler.some_time(),
                             [self = shared_from_this(), from, lane, copy = message] {
                               self->deliver(other(from), lane, copy);
                             });
    }
    end(other(from)).sent[lane].push_back(message);
    if (const auto sent = end(from).lanes.send(lane, std::move(message)); !sent)
      stage_.world.violate("a message is not taken: " + sent.error().message);
    put_out(from);
  }
  stage_.chaos.point(from, "after send " + what);
}

void Wire::carry_stream(Side from, std::uint64_t version) {
  if (!is_open(from)) return;
  end(other(from)).streams.push_back(version);
  later(other(from), &Wire::stream_arrives);
}

void Wire::attach(Side side, std::weak_ptr<StreamEnd> stream) {
  end(side).stream = std::move(stream);
  if (end(side).complete) {
    if (const auto receiver = end(side).stream.lock()) receiver->complete(*end(side).complete);
  }
}

/// All that may be said now.
void Wire::put_out(Side from) {
  if (lost_) return;
  End& here = end(from);
  End& there = end(other(from));
  const bool idle = there.flight.empty();
  for (auto frame = here.lanes.next(); !frame.empty(); frame = here.lanes.next()) {
    there.flight.insert(there.flight.end(), frame.begin(), frame.end());
    here.lanes.sent();
  }
  if (idle && !there.flight.empty()) later(other(from), &Wire::bytes_arrive);
}

void Wire::later(Side to, bool (Wire::*arrive)(Side to)) {
  auto delay = stage_.scheduler.some_time();
  if (stage_.chaos.is_network_slow()) delay += microseconds(stage_.scheduler.random().below(20'000'000));
  stage_.scheduler.after(delay, [self = shared_from_this(), to, arrive] {
    if ((*self.*arrive)(to)) self->close_when_empty(to);
  });
}

/// Not now. It is tried again.
bool Wire::cannot_arrive(Side to) const {
  const bool unread = !end(to).events && is_open(to);
  return unread || network_.is_down(other(to)) || stage_.scheduler.is_frozen(end(to).life);
}

bool Wire::stream_arrives(Side to) {
  End& receiver = end(to);
  if (lost_ || receiver.streams.empty()) return false;
  if (cannot_arrive(to)) {
    stage_.scheduler.after(kRetransmission,
                           [self = shared_from_this(), to] { self->later(to, &Wire::stream_arrives); });
    return false;
  }
  const auto version = receiver.streams.front();
  receiver.streams.pop_front();
  if (is_gone(to)) return true;
  receiver.complete = version;
  if (const auto stream = receiver.stream.lock()) stream->complete(version);
  return true;
}

/// Some of them, or all.
bool Wire::bytes_arrive(Side to) {
  End& receiver = end(to);
  if (lost_ || receiver.flight.empty()) return false;
  if (cannot_arrive(to)) {
    stage_.scheduler.after(receiver.events ? kRetransmission : kBeginning,
                           [self = shared_from_this(), to] { self->later(to, &Wire::bytes_arrive); });
    return false;
  }
  auto& random = stage_.scheduler.random();
  const auto size = random.one_in(2) ? receiver.flight.size() : 1 + random.below(receiver.flight.size());
  const auto piece = copy_of(ByteView(receiver.flight).first(size));
  receiver.flight.erase(receiver.flight.begin(), receiver.flight.begin() + static_cast<std::ptrdiff_t>(size));
  if (!receiver.flight.empty()) later(to, &Wire::bytes_arrive);
  std::vector<std::pair<peer::Lane, ByteBuffer>> messages;
  const auto heard = receiver.lanes.hear(
      piece, [&](peer::Lane lane, ByteBuffer message) { messages.emplace_back(lane, std::move(message)); });
  if (!heard) stage_.world.violate(name_of(to) + " does not understand the other: " + heard.error().message);
  for (auto& [lane, message] : messages) {
    check(to, lane, message);
    receiver.lanes.dealt_with(lane, message.size());
    deliver(to, lane, std::move(message));
  }
  put_out(to);
  return true;
}

/// No message of a lane is lost before another that arrives, and none arrives twice.
void Wire::check(Side to, peer::Lane lane, const ByteBuffer& message) {
  auto& sent = end(to).sent[lane];
  if (sent.empty() || sent.front() != message)
    return stage_.world.violate(name_of(to) +
                                " hears what was not the next to be said: " + label(lane, message));
  sent.pop_front();
}

void Wire::deliver(Side to, peer::Lane lane, ByteBuffer message) {
  End& receiver = end(to);
  if (!receiver.events || receiver.over || receiver.closed_here || receiver.life->is_over()) return;
  const auto what = label(lane, message);
  stage_.chaos.point(to, "before " + what);
  // Much may have happened at that point.
  if (receiver.over || receiver.closed_here || receiver.left || receiver.life->is_over()) return;
  if (lane == peer::Lane::control) message = as_read(to, std::move(message));
  receiver.events->message(lane, std::move(message));
  stage_.chaos.point(to, "after " + what);
}

/// What is the same path on two hosts is two folders here. And a mutated daemon misreads verdicts.
ByteBuffer Wire::as_read(Side reader, ByteBuffer message) const {
  auto decoded = migration::decode(message);
  if (!decoded) return message;
  if (auto* offer = std::get_if<migration::Offer>(&*decoded)) {
    auto& path = offer->runtime_directory;
    const auto there = path.find(name_of(other(reader)));
    if (there != std::string::npos) path.replace(there, name_of(reader).size(), name_of(reader));
    return migration::encode(*offer);
  }
  auto* verdict = std::get_if<migration::Verdict>(&*decoded);
  const bool misread =
      verdict != nullptr &&
      ((stage_.mutation == Mutation::doubt_is_refusal && verdict->outcome == handover::Outcome::in_doubt) ||
       (stage_.mutation == Mutation::undecided_is_refusal &&
        verdict->outcome == handover::Outcome::undecided));
  if (!misread) return message;
  verdict->outcome = handover::Outcome::refused;
  return migration::encode(*verdict);
}

void Wire::close(Side from) {
  if (std::exchange(end(from).closed_here, true)) return;
  stage_.scheduler.after(microseconds(0), [self = shared_from_this(), from] {
    if (const auto stream = self->end(from).stream.lock())
      stream->broke({ErrorCode::unreachable, "the session was closed", ""});
  });
  if (end(from).life->is_over()) {
    // A process that has died says no goodbye, and its last words may be lost.
    auto& random = stage_.scheduler.random();
    if (random.one_in(2)) {
      auto& flight = end(other(from)).flight;
      flight.resize(random.below(flight.size() + 1));
      end(other(from)).streams.clear();
    }
    stage_.scheduler.after(stage_.scheduler.some_time(), [self = shared_from_this()] { self->lose(); });
    return;
  }
  // Once what was sent before has arrived.
  stage_.scheduler.after(stage_.scheduler.some_time(),
                         [self = shared_from_this(), from] { self->close_when_empty(other(from)); });
}

void Wire::close_when_empty(Side to) {
  // Of what is closed while the connection is lost, nothing is heard: see redial().
  if (!end(other(to)).closed_here || end(other(to)).life->is_over() || lost_) return;
  if (!end(to).flight.empty() || !end(to).streams.empty() || !end(other(to)).lanes.is_all_taken()) return;
  const bool unread = !end(to).events && !is_gone(to);
  if (unread || network_.is_down(other(to))) {
    stage_.scheduler.after(kRetransmission, [self = shared_from_this(), to] { self->close_when_empty(to); });
    return;
  }
  end_session(to);
}

void Wire::leave(Side side) {
  close(side);
  end(side).left = true;
  end(side).events.reset();
}

bool Wire::is_gone(Side side) const {
  return !is_open(side) || end(side).left || end(side).life->is_over();
}

void Wire::set_window(Side side, Milliseconds window) {
  end(side).window = window;
  end(side).window_set = stage_.scheduler.now();
  if (end(side).stalled) give_up_in_time(side);
}

void Wire::lose() {
  if (std::exchange(lost_, true)) return;
  for (auto& each : ends_) each.flight.clear();
  const Side first = stage_.scheduler.random().one_in(2) ? Side::a : Side::b;
  const auto at_first = stage_.scheduler.some_time();
  const auto at_second = at_first + microseconds(stage_.scheduler.random().below(5'000'000));
  stage_.scheduler.after(at_first, [self = shared_from_this(), first] { self->notice(first); });
  stage_.scheduler.after(at_second, [self = shared_from_this(), first] { self->notice(other(first)); });
}

void Wire::notice(Side side) {
  End& told = end(side);
  if (!lost_ || told.stalled || is_gone(side)) return;
  if (!told.events) {
    // It has been accepted and is not looked at yet.
    stage_.scheduler.after(kRetransmission, [self = shared_from_this(), side] { self->notice(side); });
    return;
  }
  if (told.window == Milliseconds(0)) return end_session(side);
  told.stalled = stage_.scheduler.now();
  stage_.scheduler.trace([&] { return name_of(side) + " session stalls"; });
  if (told.events->stalled) told.events->stalled(kLinkDown);
  give_up_in_time(side);
  if (side == dialler_) redial_later();
}

void Wire::give_up_in_time(Side side) {
  const auto deadline = std::max(*end(side).stalled, end(side).window_set) + end(side).window;
  const auto now = stage_.scheduler.now();
  if (deadline <= now) return end_session(side);
  const auto wait = std::chrono::ceil<microseconds>(deadline - now);
  stage_.scheduler.after(wait, [self = shared_from_this(), side, at = end(side).stalled] {
    if (self->end(side).stalled == at && !self->is_gone(side)) self->give_up_in_time(side);
  });
}

void Wire::redial_later() {
  const auto pause = kRetransmission + microseconds(stage_.scheduler.random().below(1'500'000));
  stage_.scheduler.after(pause, [self = shared_from_this()] { self->redial(); });
}

void Wire::redial() {
  const Side there = other(dialler_);
  if (!lost_ || is_gone(dialler_)) return;
  const bool silent = network_.is_down(Side::a) || network_.is_down(Side::b) ||
                      stage_.scheduler.is_frozen(end(dialler_).life) || !network_.is_listening(there);
  if (silent) return redial_later();
  // Who answers may know nothing of it, or nothing any more.
  if (is_gone(there)) return end_session(dialler_);
  if (!end(there).stalled) notice(there);
  return end(there).stalled ? come_back() : redial_later();
}

void Wire::come_back() {
  lost_ = false;
  for (const Side side : {Side::a, Side::b}) {
    stage_.scheduler.trace([&] { return name_of(side) + " session goes on"; });
    auto received = end(other(side)).lanes.received();
    if (stage_.mutation == Mutation::frame_repeated && received > 0) --received;
    if (const auto goes_on = end(side).lanes.go_on_behind(received); !goes_on)
      stage_.world.violate(name_of(side) + " cannot go on: " + goes_on.error().message);
  }
  for (const Side side : {Side::a, Side::b}) {
    if (std::exchange(end(side).stalled, std::nullopt) && end(side).events->stalled)
      end(side).events->stalled(std::nullopt);
    put_out(side);
    for (std::size_t i = 0; i < end(side).streams.size(); ++i) later(side, &Wire::stream_arrives);
  }
}

void Wire::end_session(Side side) {
  End& told = end(side);
  if (is_gone(side)) return;
  told.over = true;
  told.stalled.reset();
  stage_.scheduler.trace([&] { return name_of(side) + " session ends"; });
  if (const auto stream = told.stream.lock()) stream->broke(kLinkDown);
  told.events->closed(kLinkDown);
  // The connection goes with it, if it was still there.
  lose();
}

}  // namespace vmigrate::simulation
