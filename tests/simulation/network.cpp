#include "network.hpp"

#include "migration/messages.hpp"
#include "streams.hpp"
#include "wire.hpp"

namespace vmigrate::simulation {

using std::chrono::microseconds;

namespace {

constexpr microseconds kSilence{4'000'000};
constexpr microseconds kDialPatience{3'000'000};

class SimulatedSession : public peer::Session {
 public:
  SimulatedSession(std::shared_ptr<Wire> wire, Side side)
      : wire_(std::move(wire)),
        side_(side),
        identity_{name_of(other(side)), "simulated"},
        bulk_(wire_, side) {}
  SimulatedSession(const SimulatedSession&) = delete;
  SimulatedSession& operator=(const SimulatedSession&) = delete;
  ~SimulatedSession() override { wire_->leave(side_); }
  const peer::PeerIdentity& peer() const override { return identity_; }
  void start(peer::SessionEvents events) override { wire_->start(side_, std::move(events)); }
  void send(peer::Lane lane, ByteBuffer message) override { wire_->send(side_, lane, std::move(message)); }
  peer::BulkSender& bulk_sender() override { return bulk_; }
  peer::BulkReceiver& bulk_receiver() override { return bulk_; }
  std::chrono::nanoseconds round_trip() const override { return {}; }
  void set_reconnect_window(Milliseconds window) override { wire_->set_window(side_, window); }
  void close() override { wire_->close(side_); }

 private:
  const std::shared_ptr<Wire> wire_;
  const Side side_;
  const peer::PeerIdentity identity_;
  SimulatedBulk bulk_;
};

/// For the mutation that takes silence for an answer.
class ForgedSession : public peer::Session {
 public:
  ForgedSession(Scheduler& scheduler, std::string host)
      : scheduler_(scheduler), identity_{std::move(host), ""} {}
  const peer::PeerIdentity& peer() const override { return identity_; }
  void start(peer::SessionEvents events) override { events_ = std::move(events); }
  void send(peer::Lane lane, ByteBuffer message) override {
    const auto decoded = migration::decode(message);
    const auto* ask = decoded ? std::get_if<migration::Ask>(&*decoded) : nullptr;
    if (ask == nullptr) return;
    migration::Verdict verdict;
    verdict.migration = ask->migration;
    verdict.outcome = handover::Outcome::refused;
    scheduler_.after(microseconds(1), [events = events_, lane, answer = migration::encode(verdict)] {
      events.message(lane, answer);
    });
  }
  peer::BulkSender& bulk_sender() override { std::abort(); }
  peer::BulkReceiver& bulk_receiver() override { std::abort(); }
  std::chrono::nanoseconds round_trip() const override { return {}; }
  void set_reconnect_window(Milliseconds) override {}
  void close() override {}

 private:
  Scheduler& scheduler_;
  const peer::PeerIdentity identity_;
  peer::SessionEvents events_;
};

}  // namespace

class SimulatedDialer : public peer::Dialer {
 public:
  SimulatedDialer(Network& network, Side side, std::shared_ptr<Life> life)
      : network_(network), side_(side), life_(std::move(life)) {}

  Result<std::unique_ptr<peer::Session>> dial(const std::string&) override {
    const auto& stage = network_.stage();
    if (!stage.scheduler.may_wait()) return fail(ErrorCode::unreachable, "the daemon is gone");
    stage.chaos.point(side_, "before dialling");
    stage.scheduler.pause(stage.scheduler.some_time());
    auto session = network_.connect(side_, life_);
    stage.chaos.point(side_, session ? "after dialling" : "after dialling in vain");
    if (!session && stage.mutation == Mutation::silence_is_refusal)
      return std::make_unique<ForgedSession>(stage.scheduler, name_of(other(side_)));
    return session;
  }

 private:
  Network& network_;
  const Side side_;
  const std::shared_ptr<Life> life_;
};

bool Network::is_listening(Side side) const {
  const auto& life = listeners_[static_cast<std::size_t>(side)].life;
  return life && !life->is_over() && !stage_.scheduler.is_frozen(life);
}

void Network::listen(Side side, std::shared_ptr<Life> life, peer::AcceptHandler accept) {
  listeners_[static_cast<std::size_t>(side)] = {std::move(life), std::move(accept)};
}

std::unique_ptr<peer::Dialer> Network::dialer(Side side, std::shared_ptr<Life> life) {
  return std::make_unique<SimulatedDialer>(*this, side, std::move(life));
}

Result<std::unique_ptr<peer::Session>> Network::connect(Side from, const std::shared_ptr<Life>& life) {
  const auto unreachable = fail(ErrorCode::unreachable, name_of(other(from)) + " does not answer");
  const auto listener = listeners_[static_cast<std::size_t>(other(from))];
  const auto silent = [&] {
    return is_down(Side::a) || is_down(Side::b) ||
           (listener.life && stage_.scheduler.is_frozen(listener.life));
  };
  if (silent()) {
    stage_.scheduler.pause(kDialPatience);
    if (silent()) return unreachable;
  }
  if (!listener.life || listener.life->is_over()) return unreachable;
  auto wire = std::make_shared<Wire>(*this, from, life, listener.life);
  std::erase_if(wires_, [](const auto& weak) { return weak.expired(); });
  wires_.push_back(wire);
  auto there =
      std::make_shared<std::unique_ptr<peer::Session>>(std::make_unique<SimulatedSession>(wire, other(from)));
  stage_.scheduler.start(listener.life, name_of(other(from)) + " listener",
                         [there, accept = listener.accept] { accept(std::move(*there)); });
  return std::make_unique<SimulatedSession>(std::move(wire), from);
}

void Network::each_wire(const std::function<void(Wire&)>& does) {
  const auto wires = wires_;
  for (const auto& weak : wires) {
    if (const auto wire = weak.lock()) does(*wire);
  }
}

void Network::cut(Side from, microseconds duration) {
  const auto place = static_cast<std::size_t>(from);
  ++down_[place];
  const auto cut = cuts_;
  const auto still = [this, cut, place] { return cut == cuts_ && down_[place] > 0; };
  stage_.scheduler.after(duration, [this, still, place] {
    if (still()) --down_[place];
  });
  if (duration < kSilence) return;
  stage_.scheduler.after(kSilence, [this, still] {
    if (still()) lose_all();
  });
}

void Network::lose_all() {
  each_wire([](Wire& wire) { wire.lose(); });
}

void Network::heal() {
  ++cuts_;
  down_ = {};
}

void Network::lose_power(Side side) {
  listeners_[static_cast<std::size_t>(side)] = {};
  stage_.scheduler.after(kSilence, [wires = wires_] {
    for (const auto& weak : wires) {
      if (const auto wire = weak.lock()) wire->lose();
    }
  });
}

}  // namespace vmigrate::simulation
