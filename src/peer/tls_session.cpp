#include "peer/tls_session.hpp"

namespace vmigrate::peer {
namespace {

/// What there is when the bulk connections could not be opened: the error, to whoever writes.
class NoSender : public BulkSender {
 public:
  explicit NoSender(Error why) : why_(std::move(why)) {}
  Result<> write(ByteView) override { return fail(why_); }
  Result<> finish() override { return fail(why_); }

 private:
  const Error why_;
};

}  // namespace

TlsSession::TlsSession(PeerIdentity peer, TlsStream control, Patience patience, OpenBulk open_bulk)
    : peer_(std::move(peer)),
      open_bulk_(std::move(open_bulk)),
      lanes_(std::move(control), peer_.host, patience) {
}

TlsSession::TlsSession(PeerIdentity peer, TlsStream control, Patience patience,
                       std::shared_ptr<StripedReceiver> receiver)
    : peer_(std::move(peer)),
      receiver_(std::move(receiver)),
      lanes_(std::move(control), peer_.host, patience) {
}

TlsSession::~TlsSession() {
  close();
}

BulkSender& TlsSession::bulk_sender() {
  const std::lock_guard lock(mutex_);
  if (sender_) return *sender_;
  auto connections = open_bulk_();
  if (!connections || closed_) {
    sender_ = std::make_unique<NoSender>(
        connections ? Error{ErrorCode::unreachable, "the session is closed", ""} : connections.error());
  } else {
    auto striped = std::make_unique<StripedSender>(std::move(*connections));
    striped_ = striped.get();
    sender_ = std::move(striped);
  }
  return *sender_;
}

void TlsSession::close() {
  lanes_.close();
  if (receiver_) receiver_->close();
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (striped_ != nullptr) striped_->close();
}

}  // namespace vmigrate::peer
