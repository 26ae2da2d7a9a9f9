#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "peer/bulk.hpp"
#include "peer/message_lanes.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// A session over TLS, whose control connection stands. The two sides differ only in the end of the RAM lane
/// they have.
class TlsSession : public Session {
 public:
  /// Opens the bulk connections: called once, when memory is first to be sent.
  using OpenBulk = std::function<Result<std::vector<TlsStream>>()>;

  /// The side that dialled.
  TlsSession(PeerIdentity peer, TlsStream control, Patience patience, OpenBulk open_bulk);
  /// The side that listened; bulk connections come in through `receiver`.
  TlsSession(PeerIdentity peer, TlsStream control, Patience patience,
             std::shared_ptr<StripedReceiver> receiver);
  ~TlsSession() override;

  const PeerIdentity& peer() const override { return peer_; }
  void start(SessionEvents events) override;
  void send(Lane lane, ByteBuffer message) override { lanes_.send(lane, std::move(message)); }
  void dealt_with(Lane lane, std::size_t message_size) override { lanes_.dealt_with(lane, message_size); }
  BulkSender& bulk_sender() override;
  BulkReceiver& bulk_receiver() override { return *receiver_; }
  std::chrono::nanoseconds round_trip() const override { return lanes_.round_trip(); }
  void close() override;

 private:
  void end_bulk();
  void open_sender();

  const PeerIdentity peer_;
  const OpenBulk open_bulk_;
  const std::shared_ptr<StripedReceiver> receiver_;
  std::once_flag sender_opened_;
  std::mutex mutex_;
  bool over_ = false;
  std::unique_ptr<BulkSender> sender_;
  StripedSender* striped_ = nullptr;  // sender_, unless the bulk connections could not be opened
  MessageLanes lanes_;
};

}  // namespace vmigrate::peer
