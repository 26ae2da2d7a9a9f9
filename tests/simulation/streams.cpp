#include "streams.hpp"

#include "moves.hpp"

namespace vmigrate::simulation {

namespace {

migration::StreamDigest whole_stream() {
  return {1, ByteBuffer(16)};
}

/// What is shared with the wire and QEMU, which may speak when the carrier has gone.
class OutgoingCore : public StreamSource, public StreamEnd {
 public:
  OutgoingCore(std::shared_ptr<Wire> wire, Side side, migration::OutgoingCarrier::Events events)
      : wire_(std::move(wire)), side_(side), events_(std::move(events)) {}

  bool takes() const override { return !ended_ && wire_->is_open(side_); }
  bool stalls() const override { return wire_->is_lost(); }
  void tell_vcpus_stopped() override {
    if (!ended_) events_.vcpus_stopped();
  }
  void carry(std::uint64_t version) override {
    carried_ = true;
    wire_->carry_stream(side_, version);
  }
  void broke(const Error& why) override {
    if (ended_) return;
    end();
    if (!carried_) events_.wire_failed(why);
  }
  void complete(std::uint64_t) override {}
  void serve(std::weak_ptr<Outgoing> move) { move_ = std::move(move); }
  void end() {
    ended_ = true;
    if (const auto move = move_.lock()) move->stream_ended();
  }

 private:
  const std::shared_ptr<Wire> wire_;
  const Side side_;
  const migration::OutgoingCarrier::Events events_;
  std::weak_ptr<Outgoing> move_;
  bool ended_ = false;
  bool carried_ = false;
};

class SimulatedOutgoing : public migration::OutgoingCarrier {
 public:
  explicit SimulatedOutgoing(std::shared_ptr<OutgoingCore> core) : core_(std::move(core)) {}
  SimulatedOutgoing(const SimulatedOutgoing&) = delete;
  SimulatedOutgoing& operator=(const SimulatedOutgoing&) = delete;
  ~SimulatedOutgoing() override { core_->end(); }
  void cut_off() override { core_->end(); }
  void deliver_return(ByteView) override {}
  migration::StreamDigest digest(Milliseconds) const override { return whole_stream(); }
  Counters counters() const override { return {}; }

 private:
  const std::shared_ptr<OutgoingCore> core_;
};

class IncomingCore : public StreamEnd {
 public:
  IncomingCore(Scheduler& scheduler, std::weak_ptr<Incoming> move, migration::IncomingCarrier::Events events)
      : scheduler_(scheduler), move_(std::move(move)), events_(std::move(events)) {}

  void broke(const Error& why) override {
    if (ended_ || complete_) return;
    ended_ = true;
    scheduler_.wake(this);
    events_.failed(why);
  }
  void complete(std::uint64_t version) override {
    if (const auto move = move_.lock()) move->arrived(version);
    complete_ = true;
    scheduler_.wake(this);
  }
  Result<> verify(Milliseconds patience) {
    const auto deadline = scheduler_.now() + patience;
    while (!complete_ && !ended_ && scheduler_.now() < deadline) scheduler_.wait(this, deadline);
    return complete_ ? Result<>() : fail(ErrorCode::failed, "it is not complete");
  }
  void end() { ended_ = true; }

 private:
  Scheduler& scheduler_;
  const std::weak_ptr<Incoming> move_;
  const migration::IncomingCarrier::Events events_;
  bool complete_ = false;
  bool ended_ = false;
};

class SimulatedIncoming : public migration::IncomingCarrier {
 public:
  explicit SimulatedIncoming(std::shared_ptr<IncomingCore> core) : core_(std::move(core)) {}
  SimulatedIncoming(const SimulatedIncoming&) = delete;
  SimulatedIncoming& operator=(const SimulatedIncoming&) = delete;
  ~SimulatedIncoming() override { core_->end(); }
  Result<> verify(const migration::StreamDigest& expected, Milliseconds patience) override {
    return expected == whole_stream() ? core_->verify(patience) : fail(ErrorCode::failed, "it is another");
  }

 private:
  const std::shared_ptr<IncomingCore> core_;
};

}  // namespace

std::unique_ptr<migration::OutgoingCarrier> SimulatedCarriers::carry_out(
    FileDescriptor, peer::BulkSender& wire, const reduce::Sizes&, std::shared_ptr<migration::Backlog>,
    migration::OutgoingCarrier::Events events) {
  const auto& bulk = dynamic_cast<SimulatedBulk&>(wire);
  auto core = std::make_shared<OutgoingCore>(bulk.wire(), bulk.side(), std::move(events));
  if (const auto move = hypervisor_.offered()) {
    core->serve(move);
    move->attach(core);
  }
  bulk.wire()->attach(bulk.side(), core);
  return std::make_unique<SimulatedOutgoing>(std::move(core));
}

std::unique_ptr<migration::IncomingCarrier> SimulatedCarriers::carry_in(
    FileDescriptor, peer::BulkReceiver& wire, Bytes, migration::IncomingCarrier::Events events) {
  const auto& bulk = dynamic_cast<SimulatedBulk&>(wire);
  auto core = std::make_shared<IncomingCore>(stage_.scheduler, hypervisor_.connected(), std::move(events));
  bulk.wire()->attach(bulk.side(), core);
  return std::make_unique<SimulatedIncoming>(std::move(core));
}

}  // namespace vmigrate::simulation
