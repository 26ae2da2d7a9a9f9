#include "peer/tls_session.hpp"

namespace vmigrate::peer {
namespace {

/// What there is when the bulk connections could not be opened: the error, to whoever writes.
class NoSender : public BulkSender {
 public:
  explicit NoSender(Error why) : why_(std::move(why)) {}
  Result<> write_parts(Parts) override { return fail(why_); }
  Result<> finish() override { return fail(why_); }
  std::chrono::nanoseconds waited() const override { return {}; }

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
  TlsSession::close();
}

void TlsSession::start(SessionEvents events) {
  // A dead link shows on the control connection; a bulk end that waits for the wire would not notice.
  events.closed = [this, tell = std::move(events.closed)](const Error& why) {
    end_bulk();
    tell(why);
  };
  lanes_.start(std::move(events));
}

BulkSender& TlsSession::bulk_sender() {
  std::call_once(sender_opened_, [this] { open_sender(); });
  return *sender_;
}

void TlsSession::open_sender() {
  auto connections = open_bulk_();  // not under the mutex: it takes a while, and close() must not
  const std::lock_guard lock(mutex_);
  if (!connections || over_) {
    sender_ = std::make_unique<NoSender>(
        connections ? Error{ErrorCode::unreachable, "the session is closed", ""} : connections.error());
    return;
  }
  auto striped = std::make_unique<StripedSender>(std::move(*connections));
  striped_ = striped.get();
  sender_ = std::move(striped);
}

void TlsSession::close() {
  lanes_.close();
  end_bulk();
}

void TlsSession::end_bulk() {
  if (receiver_) receiver_->close();
  const std::lock_guard lock(mutex_);
  over_ = true;
  if (striped_ != nullptr) striped_->close();
}

}  // namespace vmigrate::peer
