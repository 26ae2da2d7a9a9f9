#include "migration/peer_link.hpp"

#include <optional>

#include <fmt/format.h>

namespace vmigrate::migration {

/// What the session's thread and the letters share; outlives both.
struct PeerLink::Shared {
  std::shared_ptr<Mailbox> mailbox;
  Events events;
  peer::Session* session = nullptr;  // until it is detached
  bool lost = false;                 // both are touched by the letters' thread only
  bool detached = false;             // the link is gone; letters still on their way say nothing any more

  static void lose(const std::shared_ptr<Shared>& self, const Error& why) {
    if (self->events.backlog) self->events.backlog->let_go();
    self->mailbox->post([self, why] {
      if (!self->detached && !std::exchange(self->lost, true)) self->events.lost(why);
    });
  }

  static void stall(const std::shared_ptr<Shared>& self, const std::optional<Error>& why) {
    self->mailbox->post([self, why] {
      if (!self->detached && !self->lost && self->events.stalled) self->events.stalled(why);
    });
  }

  /// `letter` deals with a message. The peer may send as much again once it has: so it cannot fill the
  /// mailbox.
  template <class Letter>
  static void post(const std::shared_ptr<Shared>& self, peer::Lane lane, std::size_t size, Letter letter) {
    self->mailbox->post([self, lane, size, letter = std::move(letter)] {
      if (self->detached) return;
      letter(self->events);
      if (!self->detached) self->session->dealt_with(lane, size);
    });
  }

  static void receive(const std::shared_ptr<Shared>& self, peer::Lane lane, ByteBuffer bytes) {
    const std::size_t size = bytes.size();
    switch (lane) {
      case peer::Lane::control: {
        auto message = decode(bytes);
        if (!message) return lose(self, message.error());
        if (const auto* taken = std::get_if<Taken>(&*message); taken != nullptr && self->events.backlog) {
          self->events.backlog->taken(taken->stream_bytes, std::chrono::steady_clock::now());
          return self->session->dealt_with(lane, size);
        }
        return post(self, lane, size,
                    [taken = std::move(*message)](const Events& told) { told.message(taken); });
      }
      case peer::Lane::hypervisor_rpc:
        return post(self, lane, size,
                    [taken = std::move(bytes)](const Events& told) { told.hypervisor_message(taken); });
      case peer::Lane::ram_return:
        return post(self, lane, size,
                    [taken = std::move(bytes)](const Events& told) { told.return_path(taken); });
    }
  }
};

PeerLink::PeerLink(std::unique_ptr<peer::Session> session, std::shared_ptr<Mailbox> mailbox, Events events)
    : shared_(std::make_shared<Shared>(Shared{std::move(mailbox), std::move(events)})),
      session_(std::move(session)) {
  shared_->session = session_.get();
  session_->start(
      {.message = [shared = shared_](peer::Lane lane,
                                     ByteBuffer bytes) { Shared::receive(shared, lane, std::move(bytes)); },
       .closed = [shared = shared_](const Error& why) { Shared::lose(shared, why); },
       .stalled = [shared = shared_](const std::optional<Error>& why) { Shared::stall(shared, why); },
       .dealt_with_later = true});
}

PeerLink::~PeerLink() {
  shared_->detached = true;
  session_->close();
}

Result<ControlMessage> ask_peer(const Edges& edges, const std::string& host, const ControlMessage& question,
                                Milliseconds patience, peer::PeerIdentity* who) {
  auto session = edges.dialer.dial(host);
  if (!session) return fail(session.error());
  if (who != nullptr) *who = (*session)->peer();
  std::optional<Result<ControlMessage>> answer;
  auto mailbox = std::make_shared<Mailbox>(edges.threads);
  PeerLink link(std::move(*session), mailbox,
                {[&answer](ControlMessage message) { answer = std::move(message); }, [](const ByteBuffer&) {},
                 [](const ByteBuffer&) {}, [&answer](const Error& why) { answer = fail(why); }});
  link.send(question);
  const auto deadline = edges.clock.now() + patience;
  while (!answer && mailbox->handle_one(deadline)) {
  }
  mailbox->close();
  if (answer) return *answer;
  return fail(ErrorCode::unreachable,
              fmt::format("{} did not answer within {}", host, vmigrate::to_string(patience)),
              fmt::format("look into the log of migrated on {}", host));
}

}  // namespace vmigrate::migration
