#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "migration/backlog.hpp"
#include "migration/edges.hpp"
#include "migration/mailbox.hpp"
#include "migration/messages.hpp"
#include "peer/session.hpp"

namespace vmigrate::migration {

/// A session as a migration sees it: decoded messages, handed to the migration's own thread.
class PeerLink {
 public:
  /// All called from the thread that opens the mailbox's letters.
  struct Events {
    std::function<void(ControlMessage)> message;
    std::function<void(ByteBuffer)> hypervisor_message;
    std::function<void(ByteBuffer)> return_path;
    std::function<void(Error)> lost;
    /// Why the link stalls, or nothing: it goes on.
    std::function<void(std::optional<Error>)> stalled{};
    /// Told at once what is taken, and that the link is lost, from the session's thread: the letters' thread
    /// may wait for a hypervisor that waits for the stream, which this sets free.
    std::shared_ptr<Backlog> backlog{};
  };

  /// Starts the session's delivery. The mailbox's owner must outlive its last letter, not the session.
  PeerLink(std::unique_ptr<peer::Session> session, std::shared_ptr<Mailbox> mailbox, Events events);
  ~PeerLink();
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  void send(const ControlMessage& message) { session_->send(peer::Lane::control, encode(message)); }
  void send_hypervisor_message(ByteBuffer bytes) {
    session_->send(peer::Lane::hypervisor_rpc, std::move(bytes));
  }
  void send_return_path(ByteBuffer bytes) { session_->send(peer::Lane::ram_return, std::move(bytes)); }
  /// For how long a link that is lost is tried again; none at first. See Session::set_reconnect_window().
  void set_reconnect_window(Milliseconds window) { session_->set_reconnect_window(window); }
  peer::Session& session() { return *session_; }
  void close() { session_->close(); }

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<peer::Session> session_;
};

/// One question in a session of its own, and its answer. Blocks, at most about `patience` after the dialling.
/// `who`: it has proved to be, once it has answered.
Result<ControlMessage> ask_peer(const Edges& edges, const std::string& host, const ControlMessage& question,
                                Milliseconds patience, peer::PeerIdentity* who = nullptr);

}  // namespace vmigrate::migration
