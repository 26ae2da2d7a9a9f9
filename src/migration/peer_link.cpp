#include "migration/peer_link.hpp"

#include <chrono>
#include <optional>

#include <fmt/format.h>

namespace vmigrate::migration {

/// What the session's thread and the letters share; outlives both.
struct PeerLink::Shared {
  std::shared_ptr<Mailbox> mailbox;
  Events events;
  bool lost = false;      // both are touched by the letters' thread only
  bool detached = false;  // the link is gone; letters still on their way say nothing any more

  static void lose(const std::shared_ptr<Shared>& self, const Error& why) {
    self->mailbox->post([self, why] {
      if (!self->detached && !std::exchange(self->lost, true)) self->events.lost(why);
    });
  }

  static void receive(const std::shared_ptr<Shared>& self, peer::Lane lane, ByteBuffer bytes) {
    switch (lane) {
      case peer::Lane::control: {
        auto message = decode(bytes);
        if (!message) return lose(self, message.error());
        self->mailbox->post([self, taken = std::move(*message)] {
          if (!self->detached) self->events.message(taken);
        });
        return;
      }
      case peer::Lane::hypervisor_rpc:
        self->mailbox->post([self, taken = std::move(bytes)] {
          if (!self->detached) self->events.hypervisor_message(taken);
        });
        return;
      case peer::Lane::ram_return:
        self->mailbox->post([self, taken = std::move(bytes)] {
          if (!self->detached) self->events.return_path(taken);
        });
        return;
    }
  }
};

PeerLink::PeerLink(std::unique_ptr<peer::Session> session, std::shared_ptr<Mailbox> mailbox, Events events)
    : shared_(std::make_shared<Shared>(Shared{std::move(mailbox), std::move(events)})),
      session_(std::move(session)) {
  session_->start({[shared = shared_](peer::Lane lane, ByteBuffer bytes) {
                     Shared::receive(shared, lane, std::move(bytes));
                   },
                   [shared = shared_](const Error& why) { Shared::lose(shared, why); }});
}

PeerLink::~PeerLink() {
  shared_->detached = true;
  session_->close();
}

Result<ControlMessage> ask_peer(peer::Dialer& dialer, const std::string& host, const ControlMessage& question,
                                Milliseconds patience) {
  auto session = dialer.dial(host);
  if (!session) return fail(session.error());
  std::optional<Result<ControlMessage>> answer;
  auto mailbox = std::make_shared<Mailbox>();
  PeerLink link(std::move(*session), mailbox,
                {[&answer](ControlMessage message) { answer = std::move(message); }, [](const ByteBuffer&) {},
                 [](const ByteBuffer&) {}, [&answer](const Error& why) { answer = fail(why); }});
  link.send(question);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!answer && mailbox->handle_one(deadline)) {
  }
  mailbox->close();
  if (answer) return *answer;
  return fail(ErrorCode::unreachable,
              fmt::format("{} did not answer within {}", host, vmigrate::to_string(patience)),
              fmt::format("look into the log of migrated on {}", host));
}

}  // namespace vmigrate::migration
