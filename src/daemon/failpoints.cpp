#include "daemon/failpoints.hpp"

#include <numeric>

#include "daemon/failpoint.hpp"

namespace vmigrate::daemon {
namespace {

using Point = std::shared_ptr<Failpoint>;

class FailingJournal : public handover::Journal {
 public:
  FailingJournal(std::unique_ptr<Journal> real, Point point)
      : real_(std::move(real)), point_(std::move(point)) {}

  Result<> write(const handover::Record& record) override {
    return point_->around(record.state, [&] { return real_->write(record); });
  }
  Result<std::optional<handover::Record>> find(const MigrationId& migration, handover::Role role) override {
    return real_->find(migration, role);
  }
  Result<std::vector<handover::Record>> unfinished() override { return real_->unfinished(); }
  Result<std::vector<handover::Record>> of_vm(const VmId& vm) override { return real_->of_vm(vm); }

 private:
  const std::unique_ptr<Journal> real_;
  const Point point_;
};

class FailingSender : public peer::BulkSender {
 public:
  FailingSender(BulkSender& real, Point point) : real_(real), point_(std::move(point)) {}

  Result<> write_parts(Parts parts) override {
    const auto size = std::accumulate(parts.begin(), parts.end(), std::size_t{0},
                                      [](std::size_t sum, ByteView part) { return sum + part.size(); });
    return point_->around_bytes("sending byte", sent_, size, [&] { return real_.write_parts(parts); });
  }
  Result<> write_in_place(ByteBuffer buffer) override {
    const auto size = buffer.size() - kHeadRoom;
    return point_->around_bytes("sending byte", sent_, size,
                                [&] { return real_.write_in_place(std::move(buffer)); });
  }
  Result<> finish() override { return real_.finish(); }
  std::chrono::nanoseconds waited() const override { return real_.waited(); }

 private:
  BulkSender& real_;
  const Point point_;
  std::uint64_t sent_ = 0;
};

class FailingReceiver : public peer::BulkReceiver {
 public:
  FailingReceiver(BulkReceiver& real, Point point) : real_(real), point_(std::move(point)) {}

  Result<ByteBuffer> read() override {
    auto bytes = real_.read();
    if (bytes) point_->around_bytes("receiving byte", received_, bytes->size(), [] {});
    return bytes;
  }

 private:
  BulkReceiver& real_;
  const Point point_;
  std::uint64_t received_ = 0;
};

class FailingSession : public peer::Session {
 public:
  FailingSession(std::unique_ptr<Session> real, Point point)
      : real_(std::move(real)), point_(std::move(point)) {}

  const peer::PeerIdentity& peer() const override { return real_->peer(); }
  void start(peer::SessionEvents events) override {
    events.message = [point = point_, pass_on = std::move(events.message)](peer::Lane lane,
                                                                           ByteBuffer message) {
      const auto name = name_on("receiving ", lane, message);
      point->around(name, [&] { pass_on(lane, std::move(message)); });
    };
    real_->start(std::move(events));
  }
  void send(peer::Lane lane, ByteBuffer message) override {
    const auto name = name_on("sending ", lane, message);
    point_->around(name, [&] { real_->send(lane, std::move(message)); });
  }
  void dealt_with(peer::Lane lane, std::size_t message_size) override {
    real_->dealt_with(lane, message_size);
  }
  peer::BulkSender& bulk_sender() override {
    if (!sender_) sender_ = std::make_unique<FailingSender>(real_->bulk_sender(), point_);
    return *sender_;
  }
  peer::BulkReceiver& bulk_receiver() override {
    if (!receiver_) receiver_ = std::make_unique<FailingReceiver>(real_->bulk_receiver(), point_);
    return *receiver_;
  }
  std::chrono::nanoseconds round_trip() const override { return real_->round_trip(); }
  void set_reconnect_window(Milliseconds window) override { real_->set_reconnect_window(window); }
  void close() override { real_->close(); }

 private:
  static std::string name_on(std::string_view direction, peer::Lane lane, const ByteBuffer& message) {
    if (lane != peer::Lane::control) return {};
    const auto decoded = migration::decode(message);
    return decoded ? std::string(direction).append(name_of(*decoded)) : std::string();
  }

  const std::unique_ptr<Session> real_;
  const Point point_;
  std::unique_ptr<FailingSender> sender_;
  std::unique_ptr<FailingReceiver> receiver_;
};

class FailingDialer : public peer::Dialer {
 public:
  FailingDialer(std::unique_ptr<Dialer> real, Point point)
      : real_(std::move(real)), point_(std::move(point)) {}

  Result<std::unique_ptr<peer::Session>> dial(const std::string& host) override {
    auto session = real_->dial(host);
    if (!session) return session;
    return std::make_unique<FailingSession>(std::move(*session), point_);
  }

 private:
  const std::unique_ptr<Dialer> real_;
  const Point point_;
};

/// An event of a hypervisor's, told at the point.
template <class... Arguments>
std::function<void(Arguments...)> told_at(const Point& point, std::string name,
                                          std::function<void(Arguments...)> tell) {
  return [point, name = std::move(name), tell = std::move(tell)](Arguments... arguments) {
    point->around(name, [&] { tell(std::move(arguments)...); });
  };
}

class FailingHypervisor : public hypervisor::Hypervisor {
 public:
  FailingHypervisor(Hypervisor& real, Point point) : real_(real), point_(std::move(point)) {}

  Hypervisor& for_vms_of(const std::string& vmm) override { return real_.for_vms_of(vmm); }
  Result<std::vector<hypervisor::DomainSummary>> list() override { return real_.list(); }
  Result<hypervisor::DomainDescription> describe(const std::string& name_or_uuid) override {
    return real_.describe(name_or_uuid);
  }
  Result<hypervisor::DomainState> state(const VmId& vm) override { return real_.state(vm); }
  Result<std::vector<hypervisor::Finding>> check_outgoing(
      const hypervisor::DomainDescription& domain) override {
    return real_.check_outgoing(domain);
  }
  Result<std::vector<hypervisor::Finding>> check_incoming(
      const hypervisor::DomainDescription& domain) override {
    return real_.check_incoming(domain);
  }
  Result<std::unique_ptr<hypervisor::OutgoingMove>> begin_outgoing(
      const hypervisor::DomainDescription& domain, const hypervisor::OutgoingOptions& options,
      hypervisor::OutgoingEvents events) override {
    events.stream_connected = told_at(point_, "stream connected", std::move(events.stream_connected));
    events.finish_requested = told_at(point_, "finish requested", std::move(events.finish_requested));
    events.ended = told_at(point_, "ended", std::move(events.ended));
    return real_.begin_outgoing(domain, options, std::move(events));
  }
  Result<std::unique_ptr<hypervisor::IncomingMove>> begin_incoming(
      const hypervisor::IncomingOptions& options, hypervisor::IncomingEvents events) override {
    events.prepared = told_at(point_, "prepared", std::move(events.prepared));
    events.failed = told_at(point_, "failed", std::move(events.failed));
    return real_.begin_incoming(options, std::move(events));
  }
  Result<> warn_people(const VmId& vm, const std::string& warning) override {
    return real_.warn_people(vm, warning);
  }
  Result<> resume(const VmId& vm) override { return real_.resume(vm); }
  Result<> destroy(const VmId& vm) override { return real_.destroy(vm); }
  Result<> undefine(const VmId& vm) override { return real_.undefine(vm); }

 private:
  Hypervisor& real_;
  const Point point_;
};

}  // namespace

Result<Failpoints> Failpoints::parse(const std::string& failpoint) {
  Failpoints all;
  if (failpoint.empty()) return all;
  auto point = Failpoint::parse(failpoint);
  if (!point) return fail(point.error());
  all.point_ = std::move(*point);
  return all;
}

std::unique_ptr<handover::Journal> Failpoints::around(std::unique_ptr<handover::Journal> journal) const {
  if (!point_) return journal;
  return std::make_unique<FailingJournal>(std::move(journal), point_);
}

std::unique_ptr<peer::Session> Failpoints::around(std::unique_ptr<peer::Session> session) const {
  if (!point_) return session;
  return std::make_unique<FailingSession>(std::move(session), point_);
}

std::unique_ptr<peer::Dialer> Failpoints::around(std::unique_ptr<peer::Dialer> dialer) const {
  if (!point_) return dialer;
  return std::make_unique<FailingDialer>(std::move(dialer), point_);
}

hypervisor::Hypervisor& Failpoints::around(hypervisor::Hypervisor& hypervisor) {
  if (!point_) return hypervisor;
  hypervisor_ = std::make_shared<FailingHypervisor>(hypervisor, point_);
  return *hypervisor_;
}

}  // namespace vmigrate::daemon
