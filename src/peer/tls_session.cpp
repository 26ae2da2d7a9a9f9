#include "peer/tls_session.hpp"

namespace vmigrate::peer {

TlsSession::TlsSession(PeerIdentity peer, TlsStream control, Patience patience,
                       std::shared_ptr<Redialler> redialler)
    : peer_(std::move(peer)),
      patience_(patience),
      redialler_(std::move(redialler)),
      lanes_(std::move(control), peer_.host, patience, redialler_) {
}

TlsSession::TlsSession(PeerIdentity peer, TlsStream control, Patience patience,
                       std::shared_ptr<Reception> reception)
    : peer_(std::move(peer)),
      patience_(patience),
      reception_(std::move(reception)),
      receiver_(std::make_unique<StripedReceiver>(reception_, patience)),
      lanes_(std::move(control), peer_.host, patience, reception_) {
  reception_->attach(0, [this] { lanes_.interrupt(); });
}

TlsSession::~TlsSession() {
  TlsSession::close();
  if (reception_) reception_->detach(0);
}

std::shared_ptr<Reconnector> TlsSession::reconnector() const {
  if (redialler_) return redialler_;
  return reception_;
}

void TlsSession::start(SessionEvents events) {
  // A dead link shows on the control connection; a bulk end that waits for the wire would not notice.
  events.closed = [this, tell = std::move(events.closed)](const Error& why) {
    end_bulk();
    tell(why);
  };
  if (events.stalled) reconnector()->on_stall(std::move(events.stalled));
  lanes_.start(std::move(events));
}

BulkSender& TlsSession::bulk_sender() {
  const std::lock_guard lock(mutex_);
  if (!sender_) {
    sender_ = std::make_unique<StripedSender>(redialler_, redialler_->bulk_connections(), patience_);
    if (over_) sender_->close();
  }
  return *sender_;
}

void TlsSession::set_reconnect_window(Milliseconds window) {
  reconnector()->set_window(window);
}

void TlsSession::close() {
  lanes_.close();
  end_bulk();
}

void TlsSession::end_bulk() {
  // First, or what is lost now would be tried again.
  reconnector()->close();
  if (receiver_) receiver_->close();
  const std::lock_guard lock(mutex_);
  over_ = true;
  if (sender_) sender_->close();
}

}  // namespace vmigrate::peer
