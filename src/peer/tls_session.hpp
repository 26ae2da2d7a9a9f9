#pragma once

#include <memory>
#include <mutex>

#include "peer/bulk.hpp"
#include "peer/message_lanes.hpp"
#include "peer/reception.hpp"
#include "peer/redialler.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// A session over TLS, whose control connection stands. The two sides differ only in the end of the RAM lane
/// they have.
class TlsSession : public Session {
 public:
  /// The side that dialled; opens bulk connections when memory is first to be sent.
  TlsSession(PeerIdentity peer, TlsStream control, Patience patience, std::shared_ptr<Redialler> redialler);
  /// The side that listened; connections come in through `reception`.
  TlsSession(PeerIdentity peer, TlsStream control, Patience patience, std::shared_ptr<Reception> reception);
  ~TlsSession() override;

  const PeerIdentity& peer() const override { return peer_; }
  void start(SessionEvents events) override;
  void send(Lane lane, ByteBuffer message) override { lanes_.send(lane, std::move(message)); }
  void dealt_with(Lane lane, std::size_t message_size) override { lanes_.dealt_with(lane, message_size); }
  BulkSender& bulk_sender() override;
  BulkReceiver& bulk_receiver() override { return *receiver_; }
  std::chrono::nanoseconds round_trip() const override { return lanes_.round_trip(); }
  void set_reconnect_window(Milliseconds window) override;
  void close() override;

 private:
  std::shared_ptr<Reconnector> reconnector() const;
  void end_bulk();

  const PeerIdentity peer_;
  const Patience patience_;
  const std::shared_ptr<Redialler> redialler_;  // one of the two
  const std::shared_ptr<Reception> reception_;
  std::mutex mutex_;
  bool over_ = false;
  std::unique_ptr<StripedSender> sender_;
  std::unique_ptr<StripedReceiver> receiver_;
  MessageLanes lanes_;
};

}  // namespace vmigrate::peer
